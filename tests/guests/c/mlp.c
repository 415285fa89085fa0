// A multilayer perceptron with the arguments, parameters and initial draws of plugins/mlp and its
// SGD, written from the contract alone. Tensors stay at the host. The host makes a fresh instance
// for every call, so that only what a loop gets from the host is freed.
#include "training_plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PLAN(name) exports_fedwasm_training_plan_plan_##name
#define COMPUTE(name) fedwasm_training_plan_compute_##name
#define ERROR(name) FEDWASM_TRAINING_PLAN_TYPES_PLAN_ERROR_##name
#define KIND(name) FEDWASM_TRAINING_PLAN_TYPES_VALUE_KIND_##name
#define VALUE(name) FEDWASM_TRAINING_PLAN_TYPES_VALUE_##name
#define DTYPE(name) FEDWASM_TRAINING_PLAN_TYPES_DTYPE_##name
#define MODEL FEDWASM_TRAINING_PLAN_STORE_SLOT_MODEL
#define LENGTH(array) (sizeof(array) / sizeof *(array))

typedef PLAN(plan_error_t) error_t;
typedef PLAN(arguments_t) arguments_t;
typedef COMPUTE(tensor_id_t) id_t;

// Elements of a tensor, as docs/operations.md bounds them.
static const uint64_t ELEMENTS_MAX = 1u << 28;

enum { N_PARAMETERS = 4, DRAWS = 1 << 14 };

// Ends the call with an error unless another call went well.
#define TRY(call) \
    do { \
        if (!(call)) return false; \
    } while (0)

static training_plan_string_t text(const char *from) {
    training_plan_string_t to;
    training_plan_string_dup(&to, from);
    return to;
}

// A list that the host or a post-return function frees.
static void *copy(const void *from, size_t bytes) {
    void *to = malloc(bytes);
    if (to == NULL) abort();
    return memcpy(to, from, bytes);
}

static bool fail(error_t *error, uint8_t tag, const char *reason) {
    error->tag = tag;
    // All reasons lie at one place of the union.
    error->val.internal = text(reason);
    return false;
}

static bool refused(error_t *error, fedwasm_training_plan_types_access_error_t access) {
    if (access == FEDWASM_TRAINING_PLAN_TYPES_ACCESS_ERROR_CANCELLED) {
        error->tag = ERROR(CANCELLED);
        return false;
    }
    return fail(error, ERROR(INTERNAL), "the host refused an access");
}

// What the host says about a call of `compute`, as an error of the plan.
static bool computed(bool ok, const COMPUTE(compute_error_t) *from, error_t *error) {
    if (ok) return true;
    if (from->tag == FEDWASM_TRAINING_PLAN_COMPUTE_COMPUTE_ERROR_ACCESS) {
        return refused(error, from->val.access);
    }
    bool is_bad_data = from->tag == FEDWASM_TRAINING_PLAN_COMPUTE_COMPUTE_ERROR_BAD_DATA;
    error->tag = is_bad_data ? ERROR(BAD_DATA) : ERROR(INTERNAL);
    error->val.internal = from->val.mistake;
    return false;
}

// --- arguments

static const PLAN(value_t) *argument(const arguments_t *arguments, const char *name) {
    for (size_t nth = 0; nth < arguments->len; nth++) {
        const training_plan_string_t *key = &arguments->ptr[nth].f0;
        if (key->len == strlen(name) && memcmp(key->ptr, name, key->len) == 0) {
            return &arguments->ptr[nth].f1;
        }
    }
    // The host gives all that `describe` announces, of the kinds that it says.
    abort();
}

typedef struct {
    uint32_t inputs, hidden, classes;
} sizes_t;

static bool read_size(const arguments_t *arguments, const char *name, uint32_t *to, error_t *error) {
    int64_t size = argument(arguments, name)->val.integer;
    if (size < 1 || (uint64_t) size > ELEMENTS_MAX) {
        char reason[64] = "";
        strcat(strcat(reason, name), ": expected 1 to 2^28");
        return fail(error, ERROR(INVALID_ARGUMENT), reason);
    }
    *to = (uint32_t) size;
    return true;
}

static bool read_sizes(const arguments_t *arguments, sizes_t *to, error_t *error) {
    TRY(read_size(arguments, "model.n_features", &to->inputs, error));
    TRY(read_size(arguments, "model.hidden", &to->hidden, error));
    TRY(read_size(arguments, "model.n_classes", &to->classes, error));
    uint64_t larger = to->inputs > to->classes ? to->inputs : to->classes;
    if (larger * to->hidden > ELEMENTS_MAX) {
        return fail(error, ERROR(INVALID_ARGUMENT), "model.hidden: a weight has more than 2^28 elements");
    }
    return true;
}

// A parameter: with `columns` 0 it has one axis. Its draws are within 1/√fan_in, as PyTorch's.
typedef struct {
    const char *name;
    uint32_t rows, columns, fan_in;
} parameter_t;

static void parameters(const sizes_t *sizes, parameter_t to[N_PARAMETERS]) {
    to[0] = (parameter_t) {"hidden.weight", sizes->hidden, sizes->inputs, sizes->inputs};
    to[1] = (parameter_t) {"hidden.bias", sizes->hidden, 0, sizes->inputs};
    to[2] = (parameter_t) {"output.weight", sizes->classes, sizes->hidden, sizes->hidden};
    to[3] = (parameter_t) {"output.bias", sizes->classes, 0, sizes->hidden};
}

// --- operations, byte by byte from docs/operations.md

static bool apply(uint8_t *code, size_t len, id_t *inputs, size_t n, id_t *to, error_t *error) {
    training_plan_list_u8_t operation = {code, len};
    COMPUTE(list_tensor_id_t) ids = {inputs, n};
    COMPUTE(compute_error_t) from;
    return computed(COMPUTE(apply)(&operation, &ids, to, &from), &from, error);
}

static bool forward(const id_t model[N_PARAMETERS], id_t inputs, id_t *scores, error_t *error) {
    uint8_t linear[] = {13}, relu[] = {3, 13};
    id_t x;
    TRY(apply(linear, sizeof linear, (id_t[]) {inputs, model[0], model[1]}, 3, &x, error));
    TRY(apply(relu, sizeof relu, &x, 1, &x, error));
    return apply(linear, sizeof linear, (id_t[]) {x, model[2], model[3]}, 3, scores, error);
}

// The mean cross entropy of scores: of no log-probabilities, without an ignored class.
static bool cross_entropy(id_t scores, id_t classes, id_t *loss, error_t *error) {
    uint8_t code[] = {39, 0, 0, 2};
    return apply(code, sizeof code, (id_t[]) {scores, classes}, 2, loss, error);
}

// Zeros of a parameter's shape, float32, that outlive a batch.
static bool kept_zeros(const parameter_t *of, id_t *to, error_t *error) {
    uint8_t code[1 + 1 + 2 * 4 + 1 + 8] = {0, of->columns ? 2 : 1};
    size_t len = 2;
    memcpy(code + len, &of->rows, 4), len += 4;
    if (of->columns) memcpy(code + len, &of->columns, 4), len += 4;
    len += 1 + 8; // Dtype 0, value 0.0.
    TRY(apply(code, len, NULL, 0, to, error));
    COMPUTE(compute_error_t) from;
    return computed(COMPUTE(keep)(*to, &from), &from, error);
}

static bool item(id_t loss, double *to, error_t *error) {
    COMPUTE(compute_error_t) from;
    return computed(COMPUTE(item)(loss, to, &from), &from, error);
}

static bool load(id_t model[N_PARAMETERS], bool is_training, error_t *error) {
    COMPUTE(compute_error_t) from;
    for (uint32_t nth = 0; nth < N_PARAMETERS; nth++) {
        TRY(computed(COMPUTE(load)(MODEL, nth, &model[nth], &from), &from, error));
        TRY(computed(COMPUTE(want_gradient)(model[nth], is_training, &from), &from, error));
    }
    return computed(COMPUTE(set_recording)(is_training, &from), &from, error);
}

typedef struct {
    uint64_t index;
    uint32_t rows;
    id_t inputs, classes;
} batch_t;

// The next batch; `is_some` is false at the end.
static bool next(bool *is_some, batch_t *to, error_t *error) {
    COMPUTE(option_host_batch_t) batch;
    COMPUTE(compute_error_t) from;
    TRY(computed(COMPUTE(next)(&batch, &from), &from, error));
    *is_some = batch.is_some;
    if (!batch.is_some) return true;
    to->index = batch.val.index;
    to->rows = batch.val.rows;
    to->inputs = batch.val.inputs.ptr[0];
    // There are none while it predicts.
    to->classes = batch.val.targets.len > 0 ? batch.val.targets.ptr[0] : 0;
    COMPUTE(option_host_batch_free)(&batch);
    return true;
}

// --- the optimizer

typedef struct {
    COMPUTE(optimizer_t) rule;
    double rate;
    uint64_t steps;
    // A momentum of each parameter, if there is one.
    id_t kept[N_PARAMETERS];
    size_t n_kept;
} sgd_t;

static bool read_sgd(const arguments_t *arguments, sgd_t *to, error_t *error) {
    COMPUTE(sgd_t) sgd = {
        .momentum = argument(arguments, "optimizer.momentum")->val.real,
        .nesterov = argument(arguments, "optimizer.nesterov")->val.boolean,
        .weight_decay = argument(arguments, "optimizer.weight_decay")->val.real,
    };
    double rate = argument(arguments, "optimizer.lr")->val.real;
    if (!(rate > 0 && isfinite(rate))) {
        return fail(error, ERROR(INVALID_ARGUMENT), "optimizer.lr: expected more than 0");
    }
    // The host checks the rest when it steps, but a round may have no batch.
    if (!(sgd.momentum >= 0 && sgd.momentum < 1) || (sgd.nesterov && sgd.momentum == 0)) {
        return fail(error, ERROR(INVALID_ARGUMENT),
                    "optimizer.momentum: expected 0 <= momentum < 1, and not 0 with Nesterov's");
    }
    if (!(sgd.weight_decay >= 0 && isfinite(sgd.weight_decay))) {
        return fail(error, ERROR(INVALID_ARGUMENT), "optimizer.weight_decay: expected at least 0");
    }
    *to = (sgd_t) {.rule = {.tag = FEDWASM_TRAINING_PLAN_COMPUTE_OPTIMIZER_SGD, .val.sgd = sgd}, .rate = rate};
    return true;
}

static bool start(sgd_t *sgd, const parameter_t of[N_PARAMETERS], error_t *error) {
    if (sgd->rule.val.sgd.momentum == 0) return true;
    for (size_t nth = 0; nth < N_PARAMETERS; nth++) {
        TRY(kept_zeros(&of[nth], &sgd->kept[nth], error));
    }
    sgd->n_kept = N_PARAMETERS;
    return true;
}

// Goes backward from a loss and takes a step.
static bool step(sgd_t *sgd, id_t model[N_PARAMETERS], id_t loss, error_t *error) {
    COMPUTE(compute_error_t) from;
    TRY(computed(COMPUTE(backward)(loss, &from), &from, error));
    COMPUTE(list_tensor_id_t) values = {model, N_PARAMETERS}, kept = {sgd->kept, sgd->n_kept};
    sgd->steps++;
    bool ok = COMPUTE(step)(&sgd->rule, sgd->rate, sgd->steps, &values, &kept, &from);
    return computed(ok, &from, error);
}

// --- what the plan exports

static PLAN(argument_t) announced(
    const char *name, uint8_t kind, uint8_t tag, const char *doc, PLAN(value_t) value) {
    return (PLAN(argument_t)) {
        .name = text(name), .kind = kind, .default_ = {tag, {value}}, .doc = text(doc)};
}

void PLAN(describe)(PLAN(metadata_t) *to) {
    enum { INPUTS = 1, CLASSES = 2, GIVEN = 3 };
    const PLAN(value_t) none = {0}, no = {.tag = VALUE(BOOLEAN)};
    const PLAN(value_t) hidden = {.tag = VALUE(INTEGER), .val.integer = 128};
    const PLAN(value_t) rate = {.tag = VALUE(REAL), .val.real = 0.01}, zero = {.tag = VALUE(REAL)};
    PLAN(argument_t) arguments[] = {
        announced("model.n_features", KIND(INTEGER), INPUTS, "number of input columns", none),
        announced("model.n_classes", KIND(INTEGER), CLASSES, "number of classes", none),
        announced("model.hidden", KIND(INTEGER), GIVEN, "units of the hidden layer", hidden),
        announced("optimizer.lr", KIND(REAL), GIVEN, "learning rate, more than 0", rate),
        announced("optimizer.momentum", KIND(REAL), GIVEN, "momentum, 0 <= momentum < 1", zero),
        announced("optimizer.nesterov", KIND(BOOLEAN), GIVEN, "whether it is Nesterov's", no),
        announced("optimizer.weight_decay", KIND(REAL), GIVEN, "weight decay, at least 0", zero),
    };
    *to = (PLAN(metadata_t)) {
        .name = text("mlp-c"),
        .version = text("0.1.0"),
        .task = {.tag = EXPORTS_FEDWASM_TRAINING_PLAN_PLAN_TASK_CLASSIFICATION},
        .arguments = {copy(arguments, sizeof arguments), LENGTH(arguments)},
    };
}

bool PLAN(declare)(arguments_t *arguments, PLAN(declaration_t) *to, error_t *error) {
    sizes_t sizes;
    sgd_t sgd;
    TRY(read_sizes(arguments, &sizes, error));
    TRY(read_sgd(arguments, &sgd, error));
    parameter_t all[N_PARAMETERS];
    parameters(&sizes, all);
    PLAN(tensor_spec_t) model[N_PARAMETERS];
    for (size_t nth = 0; nth < N_PARAMETERS; nth++) {
        uint64_t shape[] = {all[nth].rows, all[nth].columns};
        model[nth] = (PLAN(tensor_spec_t)) {
            .name = text(all[nth].name),
            .dtype = DTYPE(FLOAT32),
            .shape = {copy(shape, sizeof shape), all[nth].columns ? 2 : 1},
            .trainable = true,
            .scope = FEDWASM_TRAINING_PLAN_TYPES_SCOPE_SHARED,
        };
    }
    uint64_t row[] = {sizes.inputs};
    PLAN(data_spec_t) inputs[] = {{text("inputs"), DTYPE(FLOAT32), {copy(row, sizeof row), 1}}};
    PLAN(data_spec_t) targets[] = {{.name = text("targets"), .dtype = DTYPE(INT64)}};
    *to = (PLAN(declaration_t)) {
        .inputs = {copy(inputs, sizeof inputs), 1},
        .targets = {copy(targets, sizeof targets), 1},
        .model = {copy(model, sizeof model), N_PARAMETERS},
    };
    return true;
}

// Draws a parameter, and writes it to the store: the upper 24 bits of four bytes each, as a number
// within [-1, 1), times the bound.
static bool draw(uint32_t index, const parameter_t *of, error_t *error) {
    const float bound = 1.0f / sqrtf((float) of->fan_in);
    uint64_t len = (uint64_t) of->rows * (of->columns ? of->columns : 1);
    for (uint64_t from = 0; from < len; from += DRAWS) {
        size_t n = len - from < DRAWS ? (size_t) (len - from) : DRAWS;
        training_plan_list_u8_t bytes;
        fedwasm_training_plan_types_access_error_t access;
        bool ok = fedwasm_training_plan_random_bytes((uint32_t) (4 * n), &bytes, &access);
        if (!ok) return refused(error, access);
        for (size_t nth = 0; nth < n; nth++) {
            uint32_t drawn;
            memcpy(&drawn, bytes.ptr + 4 * nth, 4);
            float value = ((float) (drawn >> 8) * (1.0f / 8388608.0f) - 1.0f) * bound;
            memcpy(bytes.ptr + 4 * nth, &value, 4);
        }
        ok = fedwasm_training_plan_store_write(MODEL, index, 4 * from, &bytes, &access);
        training_plan_list_u8_free(&bytes);
        if (!ok) return refused(error, access);
    }
    return true;
}

bool PLAN(init)(arguments_t *arguments, error_t *error) {
    sizes_t sizes;
    TRY(read_sizes(arguments, &sizes, error));
    parameter_t all[N_PARAMETERS];
    parameters(&sizes, all);
    for (uint32_t nth = 0; nth < N_PARAMETERS; nth++) TRY(draw(nth, &all[nth], error));
    return true;
}

// The mean loss by rows, and the learning rate of training.
static void reported(
    PLAN(report_t) *to, uint64_t steps, uint64_t rows, double sum, const double *rate) {
    training_plan_tuple2_string_f64_t metrics[2];
    size_t n = 0;
    if (rows > 0) metrics[n++] = (training_plan_tuple2_string_f64_t) {text("loss"), sum / rows};
    if (rate) metrics[n++] = (training_plan_tuple2_string_f64_t) {text("optimizer.lr"), *rate};
    PLAN(metrics_t) list = {copy(metrics, sizeof metrics), n};
    *to = (PLAN(report_t)) {.steps = steps, .rows = rows, .metrics = list};
}

static bool show(double loss, error_t *error) {
    training_plan_tuple2_string_f64_t scalar = {.f1 = loss};
    training_plan_string_set(&scalar.f0, "loss");
    fedwasm_training_plan_monitor_metrics_t scalars = {&scalar, 1};
    fedwasm_training_plan_types_access_error_t access;
    if (fedwasm_training_plan_monitor_scalars(&scalars, &access)) return true;
    // A host takes only so many; training goes on without.
    bool is_full = access == FEDWASM_TRAINING_PLAN_TYPES_ACCESS_ERROR_EXHAUSTED;
    return is_full || refused(error, access);
}

bool PLAN(train)(arguments_t *arguments, PLAN(report_t) *to, error_t *error) {
    sizes_t sizes;
    sgd_t sgd;
    TRY(read_sizes(arguments, &sizes, error));
    TRY(read_sgd(arguments, &sgd, error));
    parameter_t all[N_PARAMETERS];
    parameters(&sizes, all);
    id_t model[N_PARAMETERS];
    TRY(load(model, true, error));
    TRY(start(&sgd, all, error));
    uint64_t rows = 0;
    double sum = 0;
    for (;;) {
        bool is_some;
        batch_t batch;
        id_t scores, loss;
        double value;
        TRY(next(&is_some, &batch, error));
        if (!is_some) break;
        TRY(forward(model, batch.inputs, &scores, error));
        TRY(cross_entropy(scores, batch.classes, &loss, error));
        TRY(item(loss, &value, error));
        if (!isfinite(value)) return fail(error, ERROR(NON_FINITE), "the loss is not finite");
        sum += value * batch.rows;
        rows += batch.rows;
        TRY(show(value, error));
        TRY(step(&sgd, model, loss, error));
    }
    COMPUTE(compute_error_t) from;
    for (uint32_t nth = 0; nth < N_PARAMETERS; nth++) {
        TRY(computed(COMPUTE(save)(MODEL, nth, model[nth], &from), &from, error));
    }
    reported(to, sgd.steps, rows, sum, &sgd.rate);
    return true;
}

bool PLAN(predict)(arguments_t *arguments, error_t *error) {
    (void) arguments;
    id_t model[N_PARAMETERS];
    TRY(load(model, false, error));
    for (;;) {
        bool is_some;
        batch_t batch;
        id_t scores;
        COMPUTE(compute_error_t) from;
        TRY(next(&is_some, &batch, error));
        if (!is_some) return true;
        TRY(forward(model, batch.inputs, &scores, error));
        TRY(computed(COMPUTE(emit)(batch.index, scores, &from), &from, error));
    }
}

bool PLAN(validate)(arguments_t *arguments, PLAN(report_t) *to, error_t *error) {
    (void) arguments;
    id_t model[N_PARAMETERS];
    TRY(load(model, false, error));
    uint64_t rows = 0;
    double sum = 0;
    for (;;) {
        bool is_some;
        batch_t batch;
        id_t scores, loss;
        double value;
        TRY(next(&is_some, &batch, error));
        if (!is_some) break;
        TRY(forward(model, batch.inputs, &scores, error));
        TRY(cross_entropy(scores, batch.classes, &loss, error));
        TRY(item(loss, &value, error));
        sum += value * batch.rows;
        rows += batch.rows;
    }
    reported(to, 0, rows, sum, NULL);
    return true;
}
