/* Blocks, folders, sidecars and CIDs from anywhere. The first byte chooses the reader; whatever a block
 * decodes to is walked as the store walks it, with the block itself as its own children. */
#include "base/limits.h"
#include "base/str.h"
#include "ipfs/unixfs.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct self {
    const uint8_t *data;
    size_t size;
    unsigned calls;
} self;

static wa_status self_source(void *user, const wa_cid *cid, const uint8_t **data, size_t *n, wa_error *err)
{
    self *s = user;
    (void)cid;
    if (++s->calls > 64) return wa__fail(err, WA_LIMIT, "enough");
    *data = s->data;
    *n = s->size;
    return WA_OK;
}

static void fuzz_block(const uint8_t *data, size_t size)
{
    wa_pb_node node;
    wa_unixfs u;
    wa_dir_list list;
    wa_arena arena;
    wa_error err;
    self me = {data, size, 0};
    if (wa__pb_decode(data, size, "fuzz", &node, &err) != WA_OK) return;
    /* What was read can be written, and reads the same again. */
    wa_buf again;
    wa__buf_init(&again, WA_LIMIT_BLOCK_BYTES * 2);
    wa_status s = WA_OK;
    for (size_t i = 0; i < node.link_count && s == WA_OK; i++) s = wa__pb_put_link(&again, &node.links[i].cid, node.links[i].name, node.links[i].tsize, &err);
    if (s == WA_OK && node.has_data) s = wa__pb_put_data(&again, node.data.ptr, node.data.len, &err);
    wa_pb_node twin;
    if (s == WA_OK && again.len <= WA_LIMIT_BLOCK_BYTES) {
        if (wa__pb_decode(again.ptr, again.len, "twin", &twin, &err) != WA_OK || twin.link_count != node.link_count || !wa__str_eq(twin.data, node.data)) abort();
        wa__pb_done(&twin);
    }
    wa__buf_done(&again);
    if (wa__unixfs_decode(&node, "fuzz", &u, &err) == WA_OK) {
        wa__arena_init(&arena, (size_t)64 << 20);
        if (wa__dir_list(&node, &u, "fuzz", self_source, &me, &arena, &list, &err) == WA_OK) wa__dir_list_done(&list);
        wa__arena_done(&arena);
        wa__unixfs_done(&u);
    }
    wa__pb_done(&node);
}

static void fuzz_cid(const uint8_t *data, size_t size)
{
    wa_cid cid, twin;
    char text[WA_CID_TEXT_MAX];
    size_t used;
    if (wa__cid_parse((wa_str){(const char *)data, size}, &cid, NULL) == WA_OK) {
        wa__cid_text(&cid, text);
        if (wa__cid_parse(wa__str(text), &twin, NULL) != WA_OK || !wa__cid_equal(&cid, &twin)) abort();
    }
    if (wa__cid_read(data, size, &cid, &used, NULL) == WA_OK && used > size) abort();
}

static void fuzz_sidecar(const uint8_t *data, size_t size)
{
    wa_sidecar side;
    wa_file_root root;
    wa_error err;
    if (wa__sidecar_read(data, size, "fuzz", &side, &err) != WA_OK) return;
    if (wa__file_tree(wa__profile(side.profile), side.size, side.leaves, NULL, &root, &err) != WA_OK) return;
    volatile uint8_t last = side.verified[(side.leaf_count - 1) / 8];
    (void)last;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    switch (data[0] % 3) {
    case 0: fuzz_block(data + 1, size - 1); break;
    case 1: fuzz_cid(data + 1, size - 1); break;
    default: fuzz_sidecar(data + 1, size - 1); break;
    }
    return 0;
}
