// A model's description (build.h) out of Python objects, which it converts and nothing else.
#ifndef Q4_SPEC_H
#define Q4_SPEC_H

#include "objects.h"

#include "../build.h"

struct q4_held { // a buffer of Python's, until it is released
    struct q4_held *next;
    Py_buffer view;
};

struct q4_python_spec {
    struct q4_model_spec spec;
    PyObject *kept;         // tuples whose items the spec points into
    struct q4_held *tables; // what the model goes on reading
    struct q4_held *others;
    void *arrays[9]; // to be freed: one of the CPUs, one of each list, and two more of the weights
    size_t n_arrays;
};

// The arguments of Model(...). false with an exception; either way q4_python_spec_clear ends it.
bool q4_python_spec_parse(struct q4_python_spec *to, PyObject *args, PyObject *kwargs);
void q4_python_spec_clear(struct q4_python_spec *spec); // but for `tables`
void q4_release_held(struct q4_held *held);

#endif
