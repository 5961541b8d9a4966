/* What Python sees of all this: `_native.pyi` says what each function takes and returns. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "allocator_sampler.h"
#include "dump_file.h"
#include "jemalloc_hook.h"
#include "python_frames.h"
#include "samples.h"

static PyObject *
raise_errno(int number)
{
    errno = number;
    return PyErr_SetFromErrno(PyExc_OSError);
}

/* --- frames ---------------------------------------------------------------------------------- */

static PyObject *
frame_as_tuple(uint32_t index)
{
    struct frame_text text;
    if (!frames_text(index, &text)) {
        return PyErr_Format(PyExc_SystemError, "no frame has the index %u", index);
    }
    return Py_BuildValue("s#s#i", text.function, (Py_ssize_t)text.function_length,
                         text.file != NULL ? text.file : "", (Py_ssize_t)text.file_length,
                         text.line);
}

static PyObject *
walk(PyObject *Py_UNUSED(module), PyObject *with_gil)
{
    uint32_t frames[FRAMES_LONGEST_STACK];
    unsigned depth = PyObject_IsTrue(with_gil) ? frames_walk_with_gil(frames, FRAMES_LONGEST_STACK)
                                               : frames_walk(frames, FRAMES_LONGEST_STACK, NULL);
    PyObject *stack = PyList_New(0);
    for (unsigned at = 0; stack != NULL && at < depth; at++) {
        PyObject *frame = frame_as_tuple(frames[at]);
        if (frame == NULL || PyList_Append(stack, frame) < 0) {
            Py_CLEAR(stack);
        }
        Py_XDECREF(frame);
    }
    return stack;
}

static PyObject *
usable_in_malloc(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    return PyBool_FromLong(frames_usable_in_malloc());
}

/* --- the sampler ------------------------------------------------------------------------------ */

static PyObject *
start_sampler(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    struct sampler_options options;
    unsigned long long mallctl;
    if (!PyArg_ParseTuple(arguments, "IdK", &options.lg_interval, &options.budget, &mallctl)) {
        return NULL;
    }
    options.others = (mallctl_function *)(uintptr_t)mallctl;
    switch (sampler_start(&options)) {
    case SAMPLER_STARTED:
        Py_RETURN_NONE;
    case SAMPLER_NO_MEMORY:
        return PyErr_NoMemory();
    case SAMPLER_OWN_GIL:
        PyErr_SetString(PyExc_RuntimeError, "an interpreter with a GIL of its own is running");
        return NULL;
    case SAMPLER_SHUT_OUT:
        PyErr_SetString(PyExc_RuntimeError, "another tool's allocator hook does not let it through");
        return NULL;
    }
    Py_UNREACHABLE();
}

static PyObject *
stop_sampler(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    sampler_stop();
    Py_RETURN_NONE;
}

static PyObject *
discard_samples(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    sampler_discard();
    Py_RETURN_NONE;
}

static PyObject *
sampler_facts(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    struct sampler_state state = sampler_state();
    return Py_BuildValue("{sOsOsIsIsIsKsK}", "sampling", state.sampling ? Py_True : Py_False,
                         "attached", state.attached ? Py_True : Py_False, "lg_interval",
                         state.lg_interval, "live", samples_count(), "lost", samples_lost(), "taken",
                         (unsigned long long)state.taken, "nanoseconds",
                         (unsigned long long)state.nanoseconds);
}

/* --- jemalloc's hook --------------------------------------------------------------------------- */

static PyObject *
install_hook(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    unsigned long long mallctl;
    int stacks;
    if (!PyArg_ParseTuple(arguments, "Ki", &mallctl, &stacks)) {
        return NULL;
    }
    int error = hook_install((mallctl_function *)(uintptr_t)mallctl, stacks);
    if (error != 0) {
        return raise_errno(error);
    }
    Py_RETURN_NONE;
}

static PyObject *
hook_facts(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    return Py_BuildValue("{sKsK}", "taken", (unsigned long long)hook_taken(), "nanoseconds",
                         (unsigned long long)hook_nanoseconds());
}

/* --- dumps -------------------------------------------------------------------------------------- */

struct mapping {
    char *start;
    size_t size;
};

/* Map a profile of jemalloc's: (descriptor, offset of the records, offset of the mapped
   libraries, size, objects, bytes). */
static bool
map_heap(PyObject *described, struct heap_profile *heap, struct mapping *mapping)
{
    int descriptor;
    Py_ssize_t records, mapped, size;
    unsigned long long objects, bytes;
    if (!PyArg_ParseTuple(described, "innnKK", &descriptor, &records, &mapped, &size, &objects,
                          &bytes)) {
        return false;
    }
    if (records < 0 || mapped < records || size <= mapped) {
        PyErr_SetString(PyExc_ValueError, "the parts of the profile are out of order");
        return false;
    }
    void *start = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (start == MAP_FAILED) {
        PyErr_SetFromErrno(PyExc_OSError);
        return false;
    }
    *mapping = (struct mapping){start, (size_t)size};
    *heap = (struct heap_profile){
        .records = mapping->start + records,
        .records_size = (size_t)(mapped - records),
        .mapped = mapping->start + mapped,
        .mapped_size = (size_t)(size - mapped),
        .objects = objects,
        .bytes = bytes,
    };
    return true;
}

static PyObject *
write_dump(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    struct heap_profile heap;
    struct mapping mapping = {NULL, 0};
    struct snapshot samples;
    struct dump_request request = {.samples = &samples};
    Py_ssize_t preface_size;
    PyObject *described;
    uint64_t objects = 0;
    if (!PyArg_ParseTuple(arguments, "iy#IO", &request.descriptor, &request.preface, &preface_size,
                          &request.lg_interval, &described)) {
        return NULL;
    }
    request.preface_size = (size_t)preface_size;
    if (described != Py_None) {
        if (!map_heap(described, &heap, &mapping)) {
            return NULL;
        }
        request.heap = &heap;
    }
    int error = samples_snapshot(&samples) ? 0 : ENOMEM;
    if (error == 0) {
        Py_BEGIN_ALLOW_THREADS
        error = dump_write(&request, &objects);
        snapshot_release(&samples);
        Py_END_ALLOW_THREADS
    }
    pages_give_back(mapping.start, mapping.size);
    return error == 0 ? PyLong_FromUnsignedLongLong(objects) : raise_errno(error);
}

/* --- the module ----------------------------------------------------------------------------------- */

/* Before Python ends: leave its frames alone for good. */
static PyObject *
close_all(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    sampler_stop();
    Py_BEGIN_ALLOW_THREADS
    hook_close();
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"walk", walk, METH_O, NULL},
    {"usable_in_malloc", usable_in_malloc, METH_NOARGS, NULL},
    {"start_sampler", start_sampler, METH_VARARGS, NULL},
    {"stop_sampler", stop_sampler, METH_NOARGS, NULL},
    {"discard_samples", discard_samples, METH_NOARGS, NULL},
    {"sampler_facts", sampler_facts, METH_NOARGS, NULL},
    {"install_hook", install_hook, METH_VARARGS, NULL},
    {"hook_facts", hook_facts, METH_NOARGS, NULL},
    {"write_dump", write_dump, METH_VARARGS, NULL},
    {"close", close_all, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "endoscope_memory._native",
    .m_doc = "The parts of the profilers that run inside the allocators.",
    .m_size = -1,
    .m_methods = methods,
};

/* Whether this is the Python that the layout of frames was compiled for. Until a version is
   final its layouts change, and a build for debugging has others. */
static bool
is_known_python(void)
{
    const unsigned long FINAL = 0xf0, RELEASE_LEVEL = 0xf0;
    bool final = (Py_Version & RELEASE_LEVEL) == FINAL && (PY_VERSION_HEX & RELEASE_LEVEL) == FINAL;
    bool debug = PySys_GetObject("gettotalrefcount") != NULL;
#ifdef Py_DEBUG
    debug = !debug;
#endif
    return !debug && (final ? Py_Version >> 16 == PY_VERSION_HEX >> 16 : Py_Version == PY_VERSION_HEX);
}

PyMODINIT_FUNC
PyInit__native(void)
{
    if (!is_known_python()) {
        PyErr_Format(PyExc_ImportError, "it was built for Python %s, and this is %s", PY_VERSION,
                     Py_GetVersion());
        return NULL;
    }
    if (!frames_prepare()) {
        return PyErr_NoMemory();
    }
    return PyModule_Create(&definition);
}
