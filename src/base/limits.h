/* Every limit of the project, each with its reason. Callers may lower them, never raise them. */
#ifndef WA_LIMITS_H
#define WA_LIMITS_H

#define WA_LIMIT_COMPILE_ARENA_BYTES ((size_t)1 << 30) /* graphs of 10,000s of nodes take < 100 MB */
#define WA_LIMIT_FOLD_BYTES          ((uint64_t)64 << 20) /* one folded constant; more is computed at run time */
#define WA_LIMIT_NODES               1000000u /* largest known export has 60,000 */
#define WA_LIMIT_VALUES              4000000u
#define WA_LIMIT_ATTRS               4096u /* per node */
#define WA_LIMIT_NAME_BYTES          4096u /* a tensor or node name */
#define WA_LIMIT_GRAPH_DEPTH         32u /* nested sub-graphs */
#define WA_LIMIT_ELEMENTS            ((int64_t)1 << 40) /* of one tensor */
#define WA_LIMIT_JSON_BYTES          ((size_t)64 << 20) /* tokenizer.json of 256k words is 33 MB */
#define WA_LIMIT_JSON_DEPTH          64u
#define WA_LIMIT_SAFETENSORS_HEADER  ((uint64_t)100 << 20) /* the format's own cap: 100 MB */
#define WA_LIMIT_PLAN_BYTES          ((size_t)256 << 20)
#define WA_LIMIT_BLOCK_BYTES         ((size_t)2 << 20) /* IPFS's own block cap */
#define WA_LIMIT_DAG_DEPTH           8u
#define WA_LIMIT_DIR_ENTRIES         1000000u
#define WA_LIMIT_TEXT_BYTES          ((size_t)16 << 20) /* one input line */
#define WA_LIMIT_WORD_CHARS          100u /* WordPiece: longer words are [UNK] */
#define WA_LIMIT_HTTP_HEADER_BYTES   16384u
#define WA_LIMIT_HTTP_BODY_BYTES     ((size_t)64 << 20)
#define WA_LIMIT_CONNECTIONS         64u
#define WA_LIMIT_HANDSHAKE_MS        10000u

#endif
