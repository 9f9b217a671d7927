# Where the compiled venue keeps what its source assigns; tests/test_declarations.py holds both together.
from infrastructure.venues.simulated cimport SimulatedVenue


cdef class Lane:
    cdef public object instrument
    cdef public object tape
    cdef public object times
    cdef public object passed
    cdef public object told
    cdef public object met
    cdef public object opened
    cdef public object due
    cdef public SimulatedVenue venue
    cdef public object _interval
    cdef public list _cancels
    cdef public object _last
    cdef public object _below
    cdef public object _above
    cdef public object _clear
    cdef public list _prepared
    cdef public object _watching
    cdef public object _wakes
    cdef public object _wakes_passed
    cdef public object wake
    cdef public object _opens
    cdef public object _highs
    cdef public object _lows
    cdef public object _closes
    cdef public object _arrays
