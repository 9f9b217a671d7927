"""The core: pure, without I/O, clock or chance."""
