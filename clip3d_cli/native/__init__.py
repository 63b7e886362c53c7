"""Native library of compiled C for CPUs: its sources, its build and its Python bindings."""
