/* Prints, as JSON, what the tables of the library know of each operator: what tools/gen_operators.py makes
 * docs/OPERATORS.md of. One object a line: name and domain as in the models, and which rows there are. */
#include "graph/graph.h"
#include "kernels/kernels.h"
#include "opt/decompose.h"
#include "plan/plan_int.h"
#include <stdio.h>

int main(void)
{
    const char *before = "";
    puts("[");
    for (uint32_t op = 1; op < WA_OP_COUNT; op++) {
        const wa_op_info *o = wa__op_info(op);
        if (!o->name) continue;
        printf("%s{\"id\": %u, \"op\": \"%s\", \"name\": \"%s\", \"domain\": \"%s\", \"view\": %s, \"shape\": %s, \"decomposed\": %s, "
               "\"reference\": %s, \"webgpu\": %s, \"webnn\": %s}",
               before, op, o->name, o->onnx, o->domain, o->view ? "true" : "false", wa__graph_op_typed((wa_op)op) ? "true" : "false",
               wa__opt_decomposes((wa_op)op) ? "true" : "false", wa__kernel_ref((wa_op)op) ? "true" : "false",
               wa__plan_gpu_has((wa_op)op) ? "true" : "false", wa__plan_nn_has((wa_op)op) ? "true" : "false");
        before = ",\n";
    }
    puts("\n]");
    return 0;
}
