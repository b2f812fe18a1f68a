"""Programs compiled for a GPU without one: compiled, counted, modelled.

`compiling` compiles for a described GPU and collects what XLA dumps, `thunks` and `hlo`
parse it, `costs` counts one kernel's bytes and operations, `model` sums a program's
kernels and estimates its time, `programs` holds the programs of the project.
"""
