#include "spec.h"

#include "../execute/operations.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

// ---- what Python lends --------------------------------------------------------------------------
// Converting a number may run Python code, which may change any list. So lists are copied to tuples first, and what the
// spec points into is kept until the model is built.

static PyObject *kept_tuple(struct q4_python_spec *to, PyObject *list, const char *what) {
    if (list == NULL || !PyList_Check(list)) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_TypeError, "%s must be a list", what);
        return NULL;
    }
    PyObject *tuple = PySequence_Tuple(list);
    if (tuple && PyList_Append(to->kept, tuple) < 0)
        Py_CLEAR(tuple);
    Py_XDECREF(tuple); // `kept` has it
    return tuple;
}

// n elements, which may be none, that are freed with the spec.
static void *new_array(struct q4_python_spec *to, size_t n, size_t size) {
    void *p = to->n_arrays < sizeof to->arrays / sizeof *to->arrays ? calloc(n ? n : 1, size) : NULL;
    if (p == NULL)
        PyErr_NoMemory();
    else
        to->arrays[to->n_arrays++] = p;
    return p;
}

// A buffer, held until the list it is put into is released.
static const Py_buffer *hold(struct q4_held **list, PyObject *object) {
    struct q4_held *held = calloc(1, sizeof *held);
    if (held == NULL)
        return (void)PyErr_NoMemory(), NULL;
    if (PyObject_GetBuffer(object, &held->view, PyBUF_SIMPLE) < 0) {
        free(held);
        return NULL;
    }
    held->next = *list;
    *list = held;
    return &held->view;
}

void q4_release_held(struct q4_held *held) {
    while (held) {
        struct q4_held *next = held->next;
        PyBuffer_Release(&held->view);
        free(held);
        held = next;
    }
}

void q4_python_spec_clear(struct q4_python_spec *spec) {
    q4_release_held(spec->others);
    for (size_t i = 0; i < spec->n_arrays; i++)
        free(spec->arrays[i]);
    Py_XDECREF(spec->kept);
}

// Item i of a tuple, itself a tuple, as PyArg_ParseTuple takes it.
static bool parse_item(PyObject *items, size_t i, const char *format, ...) {
    PyObject *item = PyTuple_GetItem(items, (Py_ssize_t)i);
    if (item == NULL || !PyTuple_Check(item))
        return q4_fail("a list holds something that is no tuple");
    va_list fields;
    va_start(fields, format);
    bool ok = PyArg_VaParse(item, format, fields);
    va_end(fields);
    return ok;
}

static bool as_size(Py_ssize_t n, size_t *size) {
    *size = n < 0 ? 0 : (size_t)n;
    return n >= 0 || q4_fail("a size is negative");
}

// ---- the parts ----------------------------------------------------------------------------------

static bool parse_cpus(struct q4_python_spec *to, PyObject *cpus) {
    if (cpus == Py_None)
        return true;
    PyObject *items = kept_tuple(to, cpus, "cpus");
    size_t n = items ? (size_t)PyTuple_Size(items) : 0;
    if (items && n == 0)
        return q4_fail("cpus must be a list of CPU numbers");
    int n_threads = q4_spec_threads(&to->spec);
    if (items && (n_threads < 1 || n_threads > Q4_MAX_THREADS))
        return true; // the build refuses it
    int *list = items ? new_array(to, (size_t)n_threads, sizeof *list) : NULL;
    for (int i = 0; list && i < n_threads; i++) {
        long cpu = PyLong_AsLong(PyTuple_GetItem(items, (Py_ssize_t)((size_t)i % n)));
        list[i] = cpu < 0 || cpu > INT16_MAX ? -1 : (int)cpu;
        if (PyErr_Occurred())
            return false;
    }
    to->spec.cpus = list;
    return list != NULL;
}

static bool parse_tables(struct q4_python_spec *to, PyObject *items) {
    size_t n = (size_t)PyTuple_Size(items);
    struct q4_table_spec *tables = new_array(to, n, sizeof *tables);
    for (size_t i = 0; tables && i < n; i++) {
        struct q4_table_spec *t = &tables[i];
        PyObject *data;
        Py_ssize_t rows, columns;
        if (!parse_item(items, i, "Oinn", &data, &t->type, &rows, &columns) || !as_size(rows, &t->rows) ||
            !as_size(columns, &t->columns))
            return false;
        const Py_buffer *view = hold(&to->tables, data);
        if (view == NULL)
            return false;
        t->data = view->buf;
        t->bytes = (size_t)view->len;
    }
    to->spec.tables = tables;
    to->spec.n_tables = n;
    return tables != NULL;
}

static bool parse_vectors(struct q4_python_spec *to, PyObject *items) {
    size_t n = (size_t)PyTuple_Size(items);
    struct q4_vector_spec *vectors = new_array(to, n, sizeof *vectors);
    for (size_t i = 0; vectors && i < n; i++) {
        const Py_buffer *view = hold(&to->others, PyTuple_GetItem(items, (Py_ssize_t)i));
        if (view == NULL)
            return false;
        vectors[i] = (struct q4_vector_spec){view->buf, (size_t)view->len / sizeof(float)};
    }
    to->spec.vectors = vectors;
    to->spec.n_vectors = n;
    return vectors != NULL;
}

// float32 values, or None.
static bool parse_factors(struct q4_python_spec *to, PyObject *object, struct q4_vector_spec *factors) {
    const Py_buffer *view = object == Py_None ? NULL : hold(&to->others, object);
    if (view)
        *factors = (struct q4_vector_spec){view->buf, (size_t)view->len / sizeof(float)};
    return view || object == Py_None;
}

static bool parse_rope_tables(struct q4_python_spec *to, PyObject *items) {
    size_t n = (size_t)PyTuple_Size(items);
    struct q4_rope_spec *tables = new_array(to, n, sizeof *tables);
    for (size_t i = 0; tables && i < n; i++) {
        Py_ssize_t dim, far_from;
        PyObject *factors, *far;
        if (!parse_item(items, i, "ndOdOn", &dim, &tables[i].base, &factors, &tables[i].magnitude, &far, &far_from) ||
            !as_size(dim, &tables[i].dim) || !as_size(far_from, &tables[i].far_from) ||
            !parse_factors(to, factors, &tables[i].factors) || !parse_factors(to, far, &tables[i].far))
            return false;
    }
    to->spec.rope_tables = tables;
    to->spec.n_rope_tables = n;
    return tables != NULL;
}

static bool parse_buffers(struct q4_python_spec *to, PyObject *items) {
    size_t n = (size_t)PyTuple_Size(items);
    size_t *widths = new_array(to, n, sizeof *widths);
    for (size_t i = 0; widths && i < n; i++) {
        widths[i] = PyLong_AsSize_t(PyTuple_GetItem(items, (Py_ssize_t)i));
        if (PyErr_Occurred())
            return false;
    }
    to->spec.buffers = widths;
    to->spec.n_buffers = n;
    return widths != NULL;
}

static bool parse_sources(struct q4_python_spec *to, PyObject *items, struct q4_source *sources) {
    for (size_t i = 0; i < (size_t)PyTuple_Size(items); i++) {
        PyObject *data;
        Py_ssize_t rows;
        if (!parse_item(items, i, "On", &data, &rows) || !as_size(rows, &sources[i].rows))
            return false;
        const Py_buffer *view = hold(&to->others, data);
        if (view == NULL)
            return false;
        sources[i].data = view->buf;
        sources[i].bytes = (size_t)view->len;
    }
    return true;
}

// (name, type, columns, experts, [(rows' buffer, number of rows), …]); the sources of all weights lie in one array.
static bool parse_weights(struct q4_python_spec *to, PyObject *items) {
    size_t n = (size_t)PyTuple_Size(items), n_sources = 0;
    struct q4_weight_spec *weights = new_array(to, n, sizeof *weights);
    PyObject **lists = new_array(to, n, sizeof *lists);
    for (size_t i = 0; weights && lists && i < n; i++) {
        Py_ssize_t columns, experts;
        PyObject *sources;
        if (!parse_item(items, i, "sinnO", &weights[i].name, &weights[i].type, &columns, &experts, &sources) ||
            !as_size(columns, &weights[i].columns) || !as_size(experts, &weights[i].experts) ||
            (lists[i] = kept_tuple(to, sources, "sources")) == NULL)
            return false;
        n_sources += (size_t)PyTuple_Size(lists[i]);
    }
    struct q4_source *next = weights && lists ? new_array(to, n_sources, sizeof *next) : NULL;
    for (size_t i = 0; next && i < n; i++) {
        weights[i].sources = (struct q4_sources){next, (size_t)PyTuple_Size(lists[i])};
        if (!parse_sources(to, lists[i], next))
            return false;
        next += weights[i].sources.n;
    }
    to->spec.weights = weights;
    to->spec.n_weights = n;
    return next != NULL;
}

// ---- operations, by named fields ----------------------------------------------------------------

static bool convert_field(void *to, enum q4_field_type type, PyObject *value) {
    long index;
    switch (type) {
    case Q4_FIELD_SIZE:
        *(size_t *)to = PyLong_AsSize_t(value);
        break;
    case Q4_FIELD_FLOAT:
        *(float *)to = (float)PyFloat_AsDouble(value);
        break;
    case Q4_FIELD_BOOL:
        *(bool *)to = PyObject_IsTrue(value) == 1;
        break;
    case Q4_FIELD_BUFFER:
    case Q4_FIELD_WEIGHT:
    case Q4_FIELD_VECTOR:
    case Q4_FIELD_ANY_VECTOR:
    case Q4_FIELD_TABLE:
    case Q4_FIELD_ROPE_TABLE:
    case Q4_FIELD_ROPE_STYLE:
    case Q4_FIELD_ACTIVATION:
        index = PyLong_AsLong(value);
        *(int *)to = index < INT32_MIN || index > INT32_MAX ? INT32_MAX : (int)index;
        break;
    case Q4_FIELD_TYPES:
        return q4_fail("a field has no type");
    }
    return !PyErr_Occurred();
}

static bool parse_field(PyObject *fields, const char *name, enum q4_field_type type, void *to) {
    PyObject *value = PyDict_GetItemString(fields, name);
    if (value == NULL)
        return PyErr_Format(PyExc_ValueError, "an operation lacks its field '%s'", name), false;
    Py_INCREF(value); // converting it may change the dict
    bool ok = convert_field(to, type, value);
    Py_DECREF(value);
    return ok;
}

static int kind_named(const char *name) {
    for (int kind = 0; kind < Q4_OP_PLAIN_KINDS; kind++)
        if (strcmp(q4_operations[kind]->name, name) == 0)
            return kind;
    return -1;
}

// (kind, name, layer, last, {field: value}) with all of the kind's fields and no others.
static bool parse_op(struct q4_op *op, PyObject *items, size_t i) {
    const char *kind, *name;
    int last, number;
    PyObject *fields;
    if (!parse_item(items, i, "ssipO", &kind, &name, &op->layer, &last, &fields))
        return false;
    if ((number = kind_named(kind)) < 0)
        return PyErr_Format(PyExc_ValueError, "no kind of operation is called '%s'", kind), false;
    if (!PyDict_Check(fields))
        return q4_fail("the fields of an operation must be a dict");
    op->kind = (enum q4_op_kind)number;
    op->last = last;
    PyOS_snprintf(op->name, Q4_NAME_SIZE, "%s", name);
    Py_ssize_t n = 0;
    for (const struct q4_field *f = q4_operations[number]->fields; f->name; f++, n++)
        if (!parse_field(fields, f->name, f->type, (char *)op + f->offset))
            return false;
    if (PyDict_Size(fields) != n)
        return PyErr_Format(PyExc_ValueError, "%s has fields that '%s' does not know", op->name, kind), false;
    return true;
}

static bool parse_plan(struct q4_python_spec *to, PyObject *items) {
    size_t n = (size_t)PyTuple_Size(items);
    struct q4_op *plan = new_array(to, n, sizeof *plan);
    for (size_t i = 0; plan && i < n; i++)
        if (!parse_op(&plan[i], items, i))
            return false;
    to->spec.plan = plan;
    to->spec.n_ops = n;
    return plan != NULL;
}

// ---- all of it ----------------------------------------------------------------------------------

bool q4_python_spec_parse(struct q4_python_spec *to, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"n_threads", "n_threads_batch", "cpus",    "features", "kv_form", "n_layers", "tables",
                            "vectors",   "rope_tables",     "weights", "buffers",  "plan",    "release",  NULL};
    static bool (*const parse[])(struct q4_python_spec *, PyObject *) = {
        parse_tables, parse_vectors, parse_rope_tables, parse_weights, parse_buffers, parse_plan};
    enum { N_LISTS = sizeof parse / sizeof *parse };
    PyObject *cpus, *lists[N_LISTS];
    Py_ssize_t n_layers;
    int release;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "iiOzznOOOOOOp", names, &to->spec.n_threads,
                                     &to->spec.n_threads_batch, &cpus, &to->spec.features, &to->spec.kv_form, &n_layers,
                                     &lists[0], &lists[1], &lists[2], &lists[3], &lists[4], &lists[5], &release))
        return false;
    to->spec.release = release;
    to->kept = PyList_New(0);
    if (to->kept == NULL || !as_size(n_layers, &to->spec.n_layers) || !parse_cpus(to, cpus))
        return false;
    for (size_t i = 0; i < N_LISTS; i++) {
        PyObject *items = kept_tuple(to, lists[i], names[i + 6]);
        if (items == NULL || !parse[i](to, items))
            return false;
    }
    return true;
}
