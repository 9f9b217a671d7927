/* An inline cache for each place that reads an attribute, under the guard of CPython's own LOAD_ATTR_SLOT.

A place remembers the version tag of the type that it last met and the offset of the member there. A tag is never used
twice, and any change to the type takes it away; so while the tag is the same, the member is where it was. Only plain
object members (slots) of types with the generic lookup are remembered. An empty slot, another type, a deleted or
computed attribute go the usual way. It needs the GIL, and GCC or Clang; elsewhere reads stay as Cython makes them. */
#if defined(__GNUC__) && PY_VERSION_HEX >= 0x030B0000 && PY_VERSION_HEX < 0x030E0000 && !defined(Py_GIL_DISABLED) \
    && CYTHON_USE_TYPE_SLOTS
#define SLOTS_WOVEN
#include <structmember.h>

typedef struct {
    unsigned int version;
    Py_ssize_t offset;
} slot_seen;

static __attribute__((noinline)) PyObject *slot_find(slot_seen *seen, PyObject *of, PyObject *name) {
    PyTypeObject *type = Py_TYPE(of);
    if (type->tp_getattro == PyObject_GenericGetAttr) {
        PyObject *found = _PyType_Lookup(type, name);
        if (found && Py_TYPE(found) == &PyMemberDescr_Type && PyType_HasFeature(type, Py_TPFLAGS_VALID_VERSION_TAG)) {
            PyMemberDef *member = ((PyMemberDescrObject *)found)->d_member;
            if (member->type == T_OBJECT_EX && !(member->flags & ~READONLY)) {
                seen->offset = member->offset;
                seen->version = type->tp_version_tag;
            }
        }
    }
    return __Pyx_PyObject_GetAttrStr(of, name);
}

static CYTHON_INLINE PyObject *slot_read(slot_seen *seen, PyObject *of, PyObject *name) {
    if (likely(seen->version == Py_TYPE(of)->tp_version_tag && seen->version)) {
        PyObject *value = *(PyObject **)((char *)of + seen->offset);
        if (likely(value)) {
            Py_INCREF(value);
            return value;
        }
    }
    return slot_find(seen, of, name);
}

#define __Pyx_PyObject_GetAttrStr(of, name) ({ static slot_seen seen; slot_read(&seen, of, name); })
#endif

