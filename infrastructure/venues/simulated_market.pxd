# Where the compiled venue keeps what its source assigns; tests/test_declarations.py holds both together.


cdef class SimulatedMarket:
    cdef public list _lanes
    cdef public dict _lane_of
    cdef public object _rests
    cdef public object _opening
    cdef public list _alerts
    cdef public object _pace
    cdef public object _alert
    cdef public object _alert_at
    cdef public object _planned
    cdef public list _stops
    cdef public bint _started
    cdef public bint _ended
    cdef public object _now
    cdef public object _acting
