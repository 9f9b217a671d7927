# Where the compiled core keeps what its source assigns; tests/test_declarations.py holds both together.
from domain.wakes cimport Rounds, Timers, Watches


cdef class Core:
    cdef public object interest
    cdef public dict marks
    cdef public dict _streams
    cdef public dict _numbers
    cdef public object _opened
    cdef public list _records
    cdef public list _effects
    cdef public object _queue
    cdef public Timers _timers
    cdef public object _day_end
    cdef public Watches _watches
    cdef public Rounds _rounds
    cdef public dict _due
    cdef public list _asked
    cdef public object _clock
    cdef public bint _due_changed
    cdef public list _looks
    cdef public object _now
    cdef public dict _routes
