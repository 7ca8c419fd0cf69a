/* What the kernels over 16x16 f16 tiles share. */
#ifndef WA_WGSL_TILES_H
#define WA_WGSL_TILES_H

/* The subgroup's index comes from the invocation's, which the uniformity analysis cannot follow. */
#define WA_WGSL_TILES_HEAD \
    "diagnostic(off, chromium.subgroup_matrix_uniformity);\nenable subgroups;\nenable chromium_experimental_subgroup_matrix;\n"

#endif
