# Where the compiled venue keeps what its source assigns; tests/test_declarations.py holds both together.


cdef class SimulatedVenue:
    cdef public bint fills_at_close
    cdef public bint _needs_more
    cdef public object wallet
    cdef public object position
    cdef public object last
    cdef public object _account
    cdef public object _instrument
    cdef public object _symbol
    cdef public object _factor
    cdef public object _slippage
    cdef public object _standings
    cdef public list _falling
    cdef public list _rising
    cdef public dict _known
    cdef public object _ended
