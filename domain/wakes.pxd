# Where compiled timers, rounds and watches keep what their source assigns.
cdef class Timers:
    cdef public object next
    cdef public list _heap
    cdef public object _set


cdef class Rounds:
    cdef public bint any
    cdef public dict _rounds
    cdef public dict _resting
    cdef public Watches _watches


cdef class Watches:
    cdef public dict _watched
    cdef public dict _watches
