/* Recurrence (RNN, GRU, LSTM after their input projection) and LinearScan: what reference, fast form and
 * WGSL agree on. The operators are described in schema/ops.json. */
#ifndef WA_RECURRENCE_H
#define WA_RECURRENCE_H
#include "kernels/kernels_int.h"

enum { WA_CELL_RNN = 0, WA_CELL_GRU = 1, WA_CELL_LSTM = 2 };
typedef enum wa_act_rnn {
    WA_RNN_RELU = 0, WA_RNN_TANH, WA_RNN_SIGMOID, WA_RNN_AFFINE, WA_RNN_LEAKY_RELU, WA_RNN_THRESHOLDED_RELU, WA_RNN_SCALED_TANH,
    WA_RNN_HARD_SIGMOID, WA_RNN_ELU, WA_RNN_SOFTSIGN, WA_RNN_SOFTPLUS, WA_RNN_COUNT
} wa_act_rnn;

typedef struct wa_rnn_act {
    uint32_t fn; /* wa_act_rnn */
    float alpha, beta;
} wa_rnn_act;

typedef struct wa_recurrence {
    uint32_t kind, gates, acts; /* acts: functions a direction */
    int64_t dirs, steps, batch, hidden;
    bool reverse[2];
    wa_rnn_act act[6]; /* acts a direction */
    float clip;        /* 0: none */
    bool linear_before_reset, input_forget;
    int64_t state_width; /* hidden, or twice that */
} wa_recurrence;
wa_status wa__recurrence_describe(const wa_kernel_args *a, wa_recurrence *out, wa_error *err) WA_MUST_CHECK;

/* Up to WA_RECURRENCE_ROWS batch rows of one direction, which share every load of the weights. Everything f32. */
#define WA_RECURRENCE_ROWS 4
typedef struct wa_recurrence_task {
    const wa_recurrence *c;
    uint32_t rows, direction; /* direction: which of the activations and ways */
    const float *r;           /* [H,G*H] */
    const float *extra;       /* or NULL */
    const float *xw;          /* of the first row and step; rows are xw_row apart, steps xw_step */
    int64_t xw_row, xw_step;
    const float *state;       /* of the first row, or NULL: zeros; rows are state_width apart, as in last */
    int64_t length[WA_RECURRENCE_ROWS]; /* steps of each row */
    float *y;                 /* of the first row and step; rows are hidden apart, steps y_step */
    int64_t y_step;
    float *last;
    float *room;              /* rows * (G + 2) * H floats */
} wa_recurrence_task;
void wa__recurrence_task_cpu(const wa_recurrence_task *t);
void wa__recurrence_task_avx2(const wa_recurrence_task *t);
void wa__recurrence_task_avx512(const wa_recurrence_task *t);

bool wa__recurrence_has_fast(const wa_kernel_args *a);
wa_status wa__recurrence_fast(const wa_kernel_args *a, wa_error *err);

typedef struct wa_linear_scan {
    int64_t batch, steps, q_heads, heads, size, value_size;
    int64_t decay_size; /* numbers a head and step: 0 none, 1 or size */
    int64_t beta_heads; /* 0 none, 1 or heads */
    bool delta;
    float scale;
} wa_linear_scan;
wa_status wa__linear_scan_describe(const wa_kernel_args *a, wa_linear_scan *out, wa_error *err) WA_MUST_CHECK;

#endif
