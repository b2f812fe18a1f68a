"""Compilation for a GPU without one: a program's kernels counted, its time modelled.

`card` reads a GPU's description, `compiling` compiles for it and collects XLA's dump,
which `thunks` and `hlo` parse. `costs` counts one kernel's bytes and operations,
`model` sums a program's kernels and estimates its time, and `programs` holds the
programs of the project.
"""
