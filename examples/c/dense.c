/* A dense network trained by plain C (C11, no libraries besides the C library's own), as an external program of Assay.
 *
 *     cc -O2 -o dense dense.c -lm        builds it
 *     ./dense FOLDER                     trains what the folder says; docs/runners.md describes the folder
 *
 * It computes in double whatever the recipe's precision is. What it does not know, it refuses with a sentence.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BLOCK = 64, LONGEST_PATH = 4096, MOST_LAYERS = 128 }; /* BLOCK: examples that go through the network together */

static const char *folder;

static void fail(const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    fputs("dense: ", stderr);
    vfprintf(stderr, format, rest);
    fputc('\n', stderr);
    va_end(rest);
    exit(1);
}

static void *room(size_t count, size_t size) {
    if (size && count > SIZE_MAX / size) fail("more memory than there are addresses");
    void *found = calloc(count ? count : 1, size);
    if (!found) fail("no memory for %zu times %zu bytes", count, size);
    return found;
}

/* --- files ------------------------------------------------------------------------------------------------------- */

static FILE *opened(const char *name, const char *mode) {
    char path[LONGEST_PATH];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) fail("%s: too long a path", name);
    FILE *file = fopen(path, mode);
    if (!file) fail("%s: %s", path, strerror(errno));
    return file;
}

static size_t size_of(FILE *file, const char *name) {
    long size;
    if (fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0 || fseek(file, 0, SEEK_SET)) fail("%s: no size", name);
    return (size_t)size;
}

/* --- .npy: numbers with their shape ------------------------------------------------------------------------------ */

typedef struct {
    char type; /* 'f' or 'i' */
    size_t item; /* bytes of a number */
    size_t rows, columns; /* columns is 1 for a vector */
    void *data;
} Array;

/* Reads what NumPy writes: version 1.0, little-endian numbers, row by row. Sizes are checked before memory is taken. */
static Array read_array(const char *name) {
    FILE *file = opened(name, "rb");
    size_t size = size_of(file, name);
    unsigned char start[10];
    char head[1024];
    if (fread(start, 1, 10, file) != 10 || memcmp(start, "\x93NUMPY\x01\x00", 8)) fail("%s: not .npy 1.0", name);
    size_t length = start[8] + 256u * start[9];
    if (length >= sizeof head || fread(head, 1, length, file) != length) fail("%s: its header is damaged", name);
    head[length] = '\0';

    Array array = {.columns = 1};
    const char *type = strstr(head, "'descr': '<"), *shape = strstr(head, "'shape': (");
    if (!type || !shape || !strstr(head, "'fortran_order': False")) fail("%s: unexpected header %s", name, head);
    type += strlen("'descr': '<");
    array.type = type[0];
    array.item = (size_t)(type[1] - '0');
    if (!strchr("fi", array.type) || (array.item != 4 && array.item != 8)) fail("%s: unexpected numbers %.2s", name, type);
    unsigned long long rows = 0, columns = 1;
    if (sscanf(shape, "'shape': (%llu, %llu)", &rows, &columns) < 1) fail("%s: unexpected shape in %s", name, head);
    array.rows = rows, array.columns = columns;
    size_t content = size - 10 - length;
    if (columns == 0 || rows > content / array.item / columns || rows * columns * array.item != content)
        fail("%s: %llu x %llu numbers of %zu bytes in %zu bytes", name, rows, columns, array.item, content);
    array.data = room(content, 1);
    if (fread(array.data, 1, content, file) != content) fail("%s: cannot be read", name);
    fclose(file);
    return array;
}

static double number(const Array *array, size_t i) {
    return array->item == 8 ? ((double *)array->data)[i] : (double)((float *)array->data)[i];
}

static long long whole(const Array *array, size_t i) {
    return array->item == 8 ? ((int64_t *)array->data)[i] : ((int32_t *)array->data)[i];
}

static void expect(const Array *array, const char *name, char type, size_t rows, size_t columns) {
    if (array->type != type || array->rows != rows || array->columns != columns)
        fail("%s: got %zu x %zu '%c'; expected %zu x %zu '%c'", name, array->rows, array->columns, array->type, rows,
             columns, type);
}

static void write_array(const char *name, const double *data, size_t rows, size_t columns, bool vector) {
    FILE *file = opened(name, "wb");
    char head[119], shape[64];
    snprintf(shape, sizeof shape, vector ? "(%zu,)" : "(%zu, %zu)", vector ? columns : rows, columns);
    int length = snprintf(head, sizeof head, "{'descr': '<f8', 'fortran_order': False, 'shape': %s, }", shape);
    memset(head + length, ' ', sizeof head - (size_t)length);
    head[117] = '\n'; /* 10 + 118 bytes: the numbers begin at a multiple of 64 */
    fwrite("\x93NUMPY\x01\x00\x76\x00", 1, 10, file);
    fwrite(head, 1, 118, file);
    fwrite(data, sizeof *data, rows * columns, file);
    if (ferror(file) | fclose(file)) fail("%s: cannot be written", name);
}

/* --- JSON: a value is a pointer to its first character ----------------------------------------------------------- */

static const char *blank(const char *at) { return at + strspn(at, " \t\r\n"); }

static const char *after_string(const char *at) {
    for (at++; *at && *at != '"'; at++)
        if (*at == '\\' && at[1]) at++;
    if (!*at) fail("recipe.json: a string has no end");
    return at + 1;
}

/* The place behind a value: brackets are counted, strings skipped. */
static const char *after(const char *at) {
    int depth = 0;
    at = blank(at);
    do {
        if (*at == '"') at = after_string(at);
        else if (*at == '{' || *at == '[') depth++, at++;
        else if (*at == '}' || *at == ']') depth--, at++;
        else if (depth) at++;
        else at += strcspn(at, ",]} \t\r\n");
        if (depth && !*at) fail("recipe.json: ends too early");
    } while (depth > 0);
    return blank(at);
}

/* The value of a key in an object, or NULL. */
static const char *found(const char *object, const char *key) {
    const char *at = blank(object);
    if (*at != '{') fail("recipe.json: expected an object around %s", key);
    for (at = blank(at + 1); *at == '"';) {
        const char *name = at + 1, *end = after_string(at);
        at = blank(end);
        if (*at != ':') fail("recipe.json: expected a colon");
        at = blank(at + 1);
        if ((size_t)(end - 1 - name) == strlen(key) && !strncmp(name, key, strlen(key))) return at;
        at = after(at);
        if (*at == ',') at = blank(at + 1);
    }
    return NULL;
}

static const char *member(const char *object, const char *key) {
    const char *value = found(object, key);
    if (!value) fail("recipe.json: %s is missing", key);
    return value;
}

static const char *element(const char *array, int i) {
    const char *at = blank(array);
    if (*at != '[') fail("recipe.json: expected a list");
    at = blank(at + 1);
    while (i-- && *at && *at != ']') {
        at = after(at);
        if (*at == ',') at = blank(at + 1);
    }
    return *at && *at != ']' ? at : NULL;
}

static bool is(const char *value, const char *word) {
    size_t length = strlen(word);
    return *value == '"' && !strncmp(value + 1, word, length) && value[length + 1] == '"';
}

static double value_of(const char *object, const char *key) {
    char *end;
    const char *at = member(object, key);
    double value = strtod(at, &end);
    if (end == at) fail("recipe.json: %s: got %.20s; expected a number", key, at);
    return value;
}

static size_t count_of(const char *object, const char *key) {
    double value = value_of(object, key);
    if (!(value >= 0 && value <= INT_MAX) || value != floor(value)) fail("recipe.json: %s: got %g", key, value);
    return (size_t)value;
}

/* The place of a value in a list of words that this program knows. */
static int one_of(const char *object, const char *key, const char *const *words) {
    const char *value = member(object, key);
    for (int i = 0; words[i]; i++)
        if (is(value, words[i])) return i;
    fail("%s %.*s is not known here; the program can be taught it in dense.c", key, (int)(after(value) - value), value);
    return -1;
}

/* --- the network ------------------------------------------------------------------------------------------------- */

static const char *const KINDS[] = {"dense", "activate", NULL};
enum { DENSE, ACTIVATE };
static const char *const FUNCTIONS[] = {"identity", "relu", "leaky_relu", "sigmoid", "tanh", NULL};
enum { IDENTITY, RELU, LEAKY_RELU, SIGMOID, TANH };
static const char *const OUTPUTS[] = {"identity", "sigmoid", "softmax", "log_softmax", NULL};
enum { OUT_IDENTITY, OUT_SIGMOID, OUT_SOFTMAX, OUT_LOG_SOFTMAX };
static const char *const LOSSES[] = {"mse", "quadratic", "cross_entropy", "logit_cross_entropy", "nll", NULL};
enum { MSE, QUADRATIC, CROSS_ENTROPY, LOGIT_CROSS_ENTROPY, NLL };
static const char *const OPTIMIZERS[] = {"descent", "momentum", "adam", NULL};
enum { DESCENT, MOMENTUM, ADAM };

typedef struct {
    int kind, function;
    size_t inputs, units, number;
    double *weights, *gradient, *slots[2]; /* weights (inputs, units), then units biases, in one array */
    double *a, *d;                         /* (BLOCK, units): the values after the layer, and d loss / d value */
} Layer;

typedef struct {
    Layer layers[MOST_LAYERS];
    int count, first_dense, output, loss, optimizer;
    size_t inputs, classes;
    double epsilon, momentum, beta1, beta2, adam_epsilon;
} Network;

static size_t parameters(const Layer *layer) { return (layer->inputs + 1) * layer->units; }

static void read_weights(Layer *layer) {
    char name[64];
    layer->weights = room(parameters(layer), sizeof(double));
    layer->gradient = room(parameters(layer), sizeof(double));
    for (int i = 0; i < 2; i++) layer->slots[i] = room(parameters(layer), sizeof(double));
    for (int part = 0; part < 2; part++) {
        snprintf(name, sizeof name, "weights/%zu.%s.npy", layer->number, part ? "bias" : "weight");
        Array array = read_array(name);
        if (part) expect(&array, name, 'f', layer->units, 1);
        else expect(&array, name, 'f', layer->inputs, layer->units);
        double *target = layer->weights + (part ? layer->inputs * layer->units : 0);
        for (size_t i = 0; i < array.rows * array.columns; i++) target[i] = number(&array, i);
        free(array.data);
    }
}

static void refuse_what_is_unknown(const char *recipe) {
    if (count_of(recipe, "format") != 1) fail("recipe.json has format %zu; this program reads 1", count_of(recipe, "format"));
    const char *penalties = member(recipe, "regularisation");
    if (value_of(penalties, "l1") != 0 || value_of(penalties, "l2") != 0) fail("l1 and l2 are not known here");
    if (strncmp(member(recipe, "clip_norm"), "null", 4)) fail("clip_norm is not known here");
}

static Network read_network(const char *recipe) {
    Network network = {.first_dense = -1};
    refuse_what_is_unknown(recipe);
    network.inputs = count_of(recipe, "inputs");
    network.classes = count_of(recipe, "classes");
    size_t width = network.inputs;
    const char *layers = member(recipe, "layers"), *entry;
    for (int i = 0; (entry = element(layers, i)); i++) {
        if (i == MOST_LAYERS) fail("more than %d layers", MOST_LAYERS);
        Layer *layer = &network.layers[network.count++];
        layer->kind = one_of(entry, "kind", KINDS);
        layer->units = count_of(entry, "units");
        if (layer->kind == DENSE) {
            layer->inputs = count_of(entry, "inputs");
            layer->number = count_of(entry, "number");
            if (layer->inputs != width) fail("layer %d has %zu inputs after %zu values", i, layer->inputs, width);
            read_weights(layer);
            if (network.first_dense < 0) network.first_dense = i;
        } else {
            layer->function = one_of(entry, "function", FUNCTIONS);
            if (layer->units != width) fail("layer %d has %zu units after %zu values", i, layer->units, width);
        }
        width = layer->units;
        layer->a = room(BLOCK * width, sizeof(double));
        layer->d = room(BLOCK * width, sizeof(double));
    }
    if (network.first_dense != 0 || width != network.classes) fail("the layers do not lead from inputs to classes");
    network.output = one_of(recipe, "output", OUTPUTS);
    network.loss = one_of(recipe, "loss", LOSSES);
    if (network.output == OUT_SOFTMAX && network.loss == CROSS_ENTROPY) /* the same, but right where p underflows */
        network.output = OUT_LOG_SOFTMAX, network.loss = NLL;
    network.epsilon = value_of(recipe, "epsilon");
    const char *optimizer = member(recipe, "optimizer");
    network.optimizer = one_of(optimizer, "name", OPTIMIZERS);
    if (network.optimizer == MOMENTUM) network.momentum = value_of(optimizer, "momentum");
    if (network.optimizer == ADAM) {
        network.beta1 = value_of(optimizer, "beta1");
        network.beta2 = value_of(optimizer, "beta2");
        network.adam_epsilon = value_of(optimizer, "epsilon");
    }
    return network;
}

static double activated(int function, double z) {
    switch (function) {
    case RELU: return z > 0 ? z : 0;
    case LEAKY_RELU: return z > 0 ? z : 0.01 * z;
    case SIGMOID: return 1 / (1 + exp(-z));
    case TANH: return tanh(z);
    default: return z;
    }
}

static double slope(int function, double a) { /* from what the activation gave: z has the sign of a */
    switch (function) {
    case RELU: return a > 0;
    case LEAKY_RELU: return a > 0 ? 1 : 0.01;
    case SIGMOID: return a * (1 - a);
    case TANH: return 1 - a * a;
    default: return 1;
    }
}

static void put_output(int output, double *a, size_t classes) {
    if (output == OUT_SIGMOID)
        for (size_t c = 0; c < classes; c++) a[c] = activated(SIGMOID, a[c]);
    if (output != OUT_SOFTMAX && output != OUT_LOG_SOFTMAX) return;
    double top = a[0], sum = 0;
    for (size_t c = 1; c < classes; c++) top = fmax(top, a[c]);
    for (size_t c = 0; c < classes; c++) sum += exp(a[c] - top);
    for (size_t c = 0; c < classes; c++) a[c] = output == OUT_SOFTMAX ? exp(a[c] - top) / sum : a[c] - top - log(sum);
}

/* The outputs of up to BLOCK examples, in the last layer's `a`. */
static double *forward(Network *network, const double *x, size_t rows) {
    for (int i = 0; i < network->count; i++) {
        Layer *layer = &network->layers[i];
        size_t units = layer->units;
        if (layer->kind == ACTIVATE) {
            for (size_t j = 0; j < rows * units; j++) layer->a[j] = activated(layer->function, x[j]);
        } else {
            const double *bias = layer->weights + layer->inputs * units;
            for (size_t row = 0; row < rows; row++) {
                double *z = layer->a + row * units;
                memcpy(z, bias, units * sizeof *z);
                for (size_t j = 0; j < layer->inputs; j++) {
                    double input = x[row * layer->inputs + j];
                    const double *w = layer->weights + j * units;
                    if (input != 0)
                        for (size_t unit = 0; unit < units; unit++) z[unit] += input * w[unit];
                }
            }
        }
        x = layer->a;
    }
    double *a = network->layers[network->count - 1].a;
    for (size_t row = 0; row < rows; row++) put_output(network->output, a + row * network->classes, network->classes);
    return a;
}

static double log_sum(const double *a, size_t classes) {
    double top = a[0], sum = 0;
    for (size_t c = 1; c < classes; c++) top = fmax(top, a[c]);
    for (size_t c = 0; c < classes; c++) sum += exp(a[c] - top);
    return top + log(sum);
}

static double loss_of(const Network *network, const double *a, size_t label) {
    double sum = 0;
    switch (network->loss) {
    case CROSS_ENTROPY: return -log(fmax(a[label], network->epsilon));
    case LOGIT_CROSS_ENTROPY: return log_sum(a, network->classes) - a[label];
    case NLL: return -a[label];
    default:
        for (size_t c = 0; c < network->classes; c++) sum += (a[c] - (c == label)) * (a[c] - (c == label));
        return network->loss == MSE ? sum / (double)network->classes : sum / 2;
    }
}

/* Writes d loss / d z of the last layer for one example, times `scale`, into `d`. */
static void begin_backward(const Network *network, const double *a, size_t label, double scale, double *d) {
    size_t classes = network->classes;
    double total = network->loss == LOGIT_CROSS_ENTROPY ? log_sum(a, classes) : 0, dot = 0, sum = 0;
    for (size_t c = 0; c < classes; c++) {
        double y = c == label;
        switch (network->loss) {
        case MSE: d[c] = 2 * (a[c] - y) / (double)classes; break;
        case QUADRATIC: d[c] = a[c] - y; break;
        case CROSS_ENTROPY: d[c] = a[c] >= network->epsilon ? -y / a[c] : 0; break;
        case LOGIT_CROSS_ENTROPY: d[c] = exp(a[c] - total) - y; break;
        default: d[c] = -y;
        }
        dot += a[c] * d[c], sum += d[c];
    }
    for (size_t c = 0; c < classes; c++) {
        if (network->output == OUT_SIGMOID) d[c] *= a[c] * (1 - a[c]);
        if (network->output == OUT_SOFTMAX) d[c] = a[c] * (d[c] - dot);
        if (network->output == OUT_LOG_SOFTMAX) d[c] -= exp(a[c]) * sum;
        d[c] *= scale;
    }
}

/* Adds the gradient of a block of examples, whose `d` of the last layer is there. */
static void backward(Network *network, const double *x, size_t rows) {
    for (int i = network->count - 1; i >= 0; i--) {
        Layer *layer = &network->layers[i];
        const double *before = i ? network->layers[i - 1].a : x, *d = layer->d;
        double *earlier = i ? network->layers[i - 1].d : NULL; /* the first layer's inputs need none */
        size_t units = layer->units;
        if (layer->kind == ACTIVATE) {
            for (size_t j = 0; j < rows * units; j++) earlier[j] = d[j] * slope(layer->function, layer->a[j]);
            continue;
        }
        double *bias = layer->gradient + layer->inputs * units;
        for (size_t row = 0; row < rows; row++, d += units) {
            for (size_t unit = 0; unit < units; unit++) bias[unit] += d[unit];
            for (size_t j = 0; j < layer->inputs; j++) {
                double input = before[row * layer->inputs + j], back = 0;
                double *g = layer->gradient + j * units;
                const double *w = layer->weights + j * units;
                if (input != 0)
                    for (size_t unit = 0; unit < units; unit++) g[unit] += input * d[unit];
                if (!earlier) continue;
                for (size_t unit = 0; unit < units; unit++) back += d[unit] * w[unit];
                earlier[row * layer->inputs + j] = back;
            }
        }
    }
}

/* One step of the optimizer; t counts from 1. The gradient is zero afterwards. */
static void update(Network *network, double rate, double t) {
    double correction1 = 1 - pow(network->beta1, t), correction2 = 1 - pow(network->beta2, t);
    for (int i = 0; i < network->count; i++) {
        Layer *layer = &network->layers[i];
        if (layer->kind != DENSE) continue;
        for (size_t j = 0; j < parameters(layer); j++) {
            double g = layer->gradient[j], *m = &layer->slots[0][j], *v = &layer->slots[1][j], step = rate * g;
            if (network->optimizer == MOMENTUM) {
                *m = network->momentum * *m + g;
                step = rate * *m;
            } else if (network->optimizer == ADAM) {
                *m = network->beta1 * *m + (1 - network->beta1) * g;
                *v = network->beta2 * *v + (1 - network->beta2) * g * g;
                step = rate / correction1 * *m / (sqrt(*v / correction2) + network->adam_epsilon);
            }
            layer->weights[j] -= step;
            layer->gradient[j] = 0;
        }
    }
}

/* --- data and batches -------------------------------------------------------------------------------------------- */

typedef struct {
    Array x, y;
} Split;

static Split read_split(const char *name, size_t examples, const Network *network) {
    char path[64];
    Split split;
    snprintf(path, sizeof path, "data/%s.x.npy", name);
    split.x = read_array(path);
    expect(&split.x, path, 'f', examples, network->inputs);
    snprintf(path, sizeof path, "data/%s.y.npy", name);
    split.y = read_array(path);
    expect(&split.y, path, 'i', examples, 1);
    for (size_t i = 0; i < examples; i++)
        if (whole(&split.y, i) < 0 || whole(&split.y, i) >= (long long)network->classes) fail("%s: label out of range", path);
    return split;
}

static void copy_example(const Split *split, size_t row, double *target) {
    size_t width = split->x.columns;
    for (size_t j = 0; j < width; j++) target[j] = number(&split->x, row * width + j);
}

typedef struct {
    double loss, accuracy;
} Measured;

static Measured evaluate(Network *network, const Split *split, size_t examples, double *x) {
    Measured sum = {0, 0};
    for (size_t start = 0; start < examples; start += BLOCK) {
        size_t rows = examples - start < BLOCK ? examples - start : BLOCK;
        for (size_t row = 0; row < rows; row++) copy_example(split, start + row, x + row * network->inputs);
        const double *a = forward(network, x, rows);
        for (size_t row = 0; row < rows; row++, a += network->classes) {
            size_t label = (size_t)whole(&split->y, start + row), best = 0;
            for (size_t c = 1; c < network->classes; c++)
                if (a[c] > a[best]) best = c;
            sum.loss += loss_of(network, a, label);
            sum.accuracy += best == label;
        }
    }
    return (Measured){sum.loss / (double)examples, sum.accuracy / (double)examples};
}

typedef struct {
    char kind; /* 'r': rows, 's': starts, 'f': full */
    Array sizes, places;
    size_t examples;
} Batches;

static Batches read_batches(const char *recipe, size_t iterations, size_t examples) {
    static const char *const forms[] = {"rows", "starts", "full", NULL};
    int form = one_of(recipe, "batches", forms);
    Batches batches = {.kind = forms[form][0], .examples = examples, .sizes = read_array("batches/sizes.npy")};
    expect(&batches.sizes, "sizes.npy", 'i', iterations, 1);
    if (batches.kind == 'r') {
        batches.places = read_array("batches/rows.npy");
        expect(&batches.places, "rows.npy", 'i', iterations, batches.places.columns);
    } else if (batches.kind == 's') {
        batches.places = read_array("batches/starts.npy");
        expect(&batches.places, "starts.npy", 'i', iterations, 1);
    }
    return batches;
}

static size_t row_of(const Batches *batches, size_t i, size_t place) {
    long long row = (long long)place;
    if (batches->kind == 'r') row = whole(&batches->places, i * batches->places.columns + place);
    if (batches->kind == 's') row += whole(&batches->places, i);
    if (row < 0 || row >= (long long)batches->examples) fail("batch %zu has row %lld", i + 1, row);
    return (size_t)row;
}

/* One iteration; the mean loss of its batch before the update. */
static double iterate(Network *network, const Split *train, const Batches *batches, size_t i, double rate, double *x) {
    size_t size = (size_t)whole(&batches->sizes, i);
    if (size < 1 || (batches->kind == 'r' && size > batches->places.columns)) fail("batch %zu has size %zu", i + 1, size);
    double loss = 0, *d = network->layers[network->count - 1].d;
    for (size_t start = 0; start < size; start += BLOCK) {
        size_t rows = size - start < BLOCK ? size - start : BLOCK, labels[BLOCK];
        for (size_t row = 0; row < rows; row++) {
            size_t place = row_of(batches, i, start + row);
            copy_example(train, place, x + row * network->inputs);
            labels[row] = (size_t)whole(&train->y, place);
        }
        const double *a = forward(network, x, rows);
        for (size_t row = 0; row < rows; row++) {
            loss += loss_of(network, a + row * network->classes, labels[row]);
            begin_backward(network, a + row * network->classes, labels[row], 1 / (double)size, d + row * network->classes);
        }
        backward(network, x, rows);
    }
    update(network, rate, (double)(i + 1));
    return loss / (double)size;
}

/* --- the curve --------------------------------------------------------------------------------------------------- */

static void print_number(const char *key, double value) {
    if (isfinite(value)) printf(", \"%s\": %.17g", key, value);
    else printf(", \"%s\": null", key);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static char *read_recipe(void) {
    FILE *file = opened("recipe.json", "rb");
    size_t size = size_of(file, "recipe.json");
    if (size > 1 << 24) fail("recipe.json: %zu bytes are too many", size);
    char *text = room(size + 1, 1);
    if (fread(text, 1, size, file) != size) fail("recipe.json: cannot be read");
    fclose(file);
    return text;
}

static void write_weights(const Network *network) {
    for (int i = 0; i < network->count; i++) {
        const Layer *layer = &network->layers[i];
        if (layer->kind != DENSE) continue;
        char name[64];
        snprintf(name, sizeof name, "final/%zu.weight.npy", layer->number);
        write_array(name, layer->weights, layer->inputs, layer->units, false);
        snprintf(name, sizeof name, "final/%zu.bias.npy", layer->number);
        write_array(name, layer->weights + layer->inputs * layer->units, 1, layer->units, true);
    }
}

int main(int count, char **words) {
    const union { uint16_t number; unsigned char first; } order = {1};
    if (!order.first) fail("this machine is not little-endian, as the files are");
    if (count != 2) fail("expected one word, the folder that Assay made");
    folder = words[1];
    char *recipe = read_recipe();
    Network network = read_network(recipe);
    const char *examples = member(recipe, "examples"), *measured = member(recipe, "train_loss");
    size_t n = count_of(examples, "train"), tests = count_of(examples, "test"), iterations = count_of(recipe, "iterations");
    size_t validations = found(examples, "validation") ? count_of(examples, "validation") : 0;
    bool of_batch = is(measured, "batch");
    size_t subset = of_batch ? 0 : count_of(recipe, "train_loss");
    if (subset > n) fail("train_loss: %zu of %zu examples", subset, n);
    Split train = read_split("train", n, &network), test = read_split("test", tests, &network), validation = {0};
    if (validations) validation = read_split("validation", validations, &network);
    Batches batches = read_batches(recipe, iterations, n);
    Array rates = read_array("learning_rates.npy"), points = read_array("log_points.npy");
    expect(&rates, "learning_rates.npy", 'f', iterations, 1);
    double *x = room(BLOCK * network.inputs, sizeof(double)), seconds = 0, batch_loss = NAN;

    size_t t = 0;
    for (size_t point = 0; point < points.rows; point++) {
        double begin = now();
        for (; t < (size_t)whole(&points, point); t++) {
            if (t == iterations) fail("a log point lies behind the last iteration");
            batch_loss = iterate(&network, &train, &batches, t, number(&rates, t), x);
        }
        if (t) seconds += now() - begin;
        Measured on_test = evaluate(&network, &test, tests, x);
        printf("{\"iteration\": %zu, \"seconds\": %.9f", t, seconds);
        if (!of_batch) {
            Measured on_train = evaluate(&network, &train, subset, x);
            print_number("train_loss", on_train.loss);
            print_number("train_accuracy", on_train.accuracy);
        } else if (t) {
            print_number("train_loss", batch_loss);
        }
        if (validations) {
            Measured on_validation = evaluate(&network, &validation, validations, x);
            print_number("validation_loss", on_validation.loss);
            print_number("validation_accuracy", on_validation.accuracy);
        }
        print_number("test_loss", on_test.loss);
        print_number("test_accuracy", on_test.accuracy);
        puts("}");
        fflush(stdout);
    }
    write_weights(&network);
    return 0;
}
