/* UnixFS: IPIP-499's vectors (as Kubo 0.43's own tests have them), folders both ways, hostile blocks. */
#include "base/limits.h"
#include "ipfs/murmur3.h"
#include "ipfs/unixfs.h"
#include "tests.h"
#include "ipfs_inputs.h"

/* The CID of size bytes of a seed's stream, without a file. */
static void file_cid(wa_profile_id id, uint64_t size, const char *seed, char text[WA_CID_TEXT_MAX])
{
    const wa_profile *p = wa__profile(id);
    uint64_t count = wa__leaf_count(p, size);
    wa_digest *leaves = wa__alloc((size_t)count, sizeof *leaves);
    uint8_t *chunk = wa__alloc(1, p->chunk_bytes);
    seed_stream in = seed_open(seed);
    wa_error err = {0};
    for (uint64_t i = 0; i < count; i++) {
        uint64_t left = size - i * p->chunk_bytes;
        size_t n = left < p->chunk_bytes ? (size_t)left : p->chunk_bytes;
        seed_read(&in, chunk, n);
        assert_ok(wa__leaf_digest(p, chunk, n, leaves[i], &err), err);
    }
    wa_file_root root;
    assert_ok(wa__file_tree(p, size, (const wa_digest *)leaves, NULL, &root, &err), err);
    wa__cid_text(&root.cid, text);
    seed_close(&in);
    wa__free(chunk);
    wa__free(leaves);
}

static void test_file_vectors(void **state)
{
    (void)state;
    static const struct {
        wa_profile_id profile;
        uint64_t size;
        const char *seed, *cid;
    } vectors[] = {
        {WA_PROFILE_V0_2015, 262144, "chunk-v0-seed", "QmWmRj3dFDZdb6ABvbmKhEL6TmPbAfBZ1t5BxsEyJrcZhE"},
        {WA_PROFILE_V0_2015, 262145, "chunk-v0-seed", "QmYyLxtzZyW22zpoVAtKANLRHpDjZtNeDjQdJrcQNWoRkJ"},
        {WA_PROFILE_V0_2015, 174 * 262144, "v0-seed", "QmUbBALi174SnogsUzLpYbD4xPiBSFANF4iztWCsHbMKh2"},
        {WA_PROFILE_V0_2015, 174 * 262144 + 1, "v0-seed", "QmV81WL765sC8DXsRhE5fJv2rwhS4icHRaf3J9Zk5FdRnW"},
        {WA_PROFILE_V1_2025, 1048576, "chunk-v1-seed", "bafkreiacndfy443ter6qr2tmbbdhadvxxheowwf75s6zehscklu6ezxmta"},
        {WA_PROFILE_V1_2025, 1048577, "chunk-v1-seed", "bafybeigmix7t42i6jacydtquhet7srwvgpizfg7gjbq7627d35mjomtu64"},
        {WA_PROFILE_V1_2025, 1073741824, "v1-2025-seed", "bafybeihmf37wcuvtx4hpu7he5zl5qaf2ineo2lqlfrapokkm5zzw7zyhvm"},
        {WA_PROFILE_V1_2025, 1073741825, "v1-2025-seed", "bafybeibdsi225ugbkmpbdohnxioyab6jsqrmkts3twhpvfnzp77xtzpyhe"},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        char text[WA_CID_TEXT_MAX];
        file_cid(vectors[i].profile, vectors[i].size, vectors[i].seed, text);
        assert_string_equal(text, vectors[i].cid);
    }
}

static void test_hello_vectors(void **state)
{
    (void)state;
    static const char *const want[] = {"bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e",
                                       "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD"};
    for (int i = 0; i < 2; i++) {
        const wa_profile *p = wa__profile((wa_profile_id)i);
        wa_digest leaf;
        wa_file_root root;
        wa_error err = {0};
        char text[WA_CID_TEXT_MAX];
        assert_ok(wa__leaf_digest(p, "hello world", 11, leaf, &err), err);
        assert_ok(wa__file_tree(p, 11, (const wa_digest *)&leaf, NULL, &root, &err), err);
        wa__cid_text(&root.cid, text);
        assert_string_equal(text, want[i]);
    }
}

/* A block store in memory. */
typedef struct memory {
    wa_cid *cids;
    wa_buf *blocks;
    size_t count, cid_cap, block_cap;
} memory;

static wa_status memory_put(void *user, const wa_cid *cid, const void *data, size_t n, wa_error *err)
{
    memory *m = user;
    if (!wa__array_reserve((void **)&m->cids, &m->cid_cap, m->count + 1, sizeof *m->cids) ||
        !wa__array_reserve((void **)&m->blocks, &m->block_cap, m->count + 1, sizeof *m->blocks))
        return wa__no_memory(err, "the test");
    m->cids[m->count] = *cid;
    wa__buf_init(&m->blocks[m->count], WA_LIMIT_BLOCK_BYTES);
    wa_status s = wa__buf_append(&m->blocks[m->count++], data, n, err);
    return s;
}

static wa_status memory_get(void *user, const wa_cid *cid, const uint8_t **data, size_t *n, wa_error *err)
{
    memory *m = user;
    for (size_t i = 0; i < m->count; i++) {
        if (!wa__cid_equal(&m->cids[i], cid)) continue;
        *data = (const uint8_t *)m->blocks[i].ptr;
        *n = m->blocks[i].len;
        return WA_OK;
    }
    return wa__fail(err, WA_NOT_FOUND, "no such block");
}

static void memory_done(memory *m)
{
    for (size_t i = 0; i < m->count; i++) wa__buf_done(&m->blocks[i]);
    wa__free(m->cids);
    wa__free(m->blocks);
    *m = (memory){0};
}

static wa_dir_entry *make_entries(wa_profile_id id, const char *seed, size_t count, size_t name_bytes, size_t last_bytes, char **names)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz01234567890-_";
    const wa_profile *p = wa__profile(id);
    wa_dir_entry *e = wa__alloc(count, sizeof *e);
    char *text = wa__alloc(count, name_bytes + 1 > last_bytes + 1 ? name_bytes + 1 : last_bytes + 1);
    wa_digest leaf;
    wa_file_root root;
    wa_error err = {0};
    assert_ok(wa__leaf_digest(p, "x", 1, leaf, &err), err);
    assert_ok(wa__file_tree(p, 1, (const wa_digest *)&leaf, NULL, &root, &err), err);
    seed_stream in = seed_open(seed);
    char *at = text;
    for (size_t i = 0; i < count; i++) {
        size_t n = i + 1 == count ? last_bytes : name_bytes;
        seed_read(&in, at, n);
        for (size_t k = 0; k < n; k++) at[k] = alphabet[(unsigned char)at[k] % (sizeof alphabet - 1)];
        e[i] = (wa_dir_entry){{at, n}, root.cid, root.tsize};
        at += n;
    }
    seed_close(&in);
    *names = text;
    return e;
}

static void test_folder_vectors(void **state)
{
    (void)state;
    static const struct {
        wa_profile_id profile;
        const char *seed;
        size_t count, name_bytes, last_bytes;
        const char *cid;
    } vectors[] = {
        {WA_PROFILE_V0_2015, "hamt-unixfs-v0-2015", 4096, 30, 30, "QmX5GtRk3TSSEHtdrykgqm4eqMEn3n2XhfkFAis5fjyZmN"},
        {WA_PROFILE_V0_2015, "hamt-unixfs-v0-2015", 4033, 31, 31, "QmeMiJzmhpJAUgynAcxTQYek5PPKgdv3qEvFsdV3XpVnvP"},
        {WA_PROFILE_V1_2025, "hamt-unixfs-v1-2025", 4766, 11, 21, "bafybeic3h7rwruealwxkacabdy45jivq2crwz6bufb5ljwupn36gicplx4"},
        {WA_PROFILE_V1_2025, "hamt-unixfs-v1-2025", 4766, 11, 22, "bafybeiegvuterwurhdtkikfhbxcldohmxp566vpjdofhzmnhv6o4freidu"},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        char *names, text[WA_CID_TEXT_MAX];
        memory m = {0};
        wa_cid root;
        uint64_t tsize;
        wa_error err = {0};
        wa_dir_entry *e = make_entries(vectors[i].profile, vectors[i].seed, vectors[i].count, vectors[i].name_bytes, vectors[i].last_bytes, &names);
        assert_ok(wa__dir_build(wa__profile(vectors[i].profile), e, vectors[i].count, memory_put, &m, &root, &tsize, &err), err);
        wa__cid_text(&root, text);
        assert_string_equal(text, vectors[i].cid);
        /* And back: the same names, sorted. */
        wa_pb_node node;
        wa_unixfs u;
        wa_dir_list list;
        wa_arena arena;
        wa__arena_init(&arena, 1 << 26);
        const wa_buf *top = &m.blocks[m.count - 1];
        assert_ok(wa__pb_decode(top->ptr, top->len, "root", &node, &err), err);
        assert_ok(wa__unixfs_decode(&node, "root", &u, &err), err);
        assert_ok(wa__dir_list(&node, &u, "root", memory_get, &m, &arena, &list, &err), err);
        assert_int_equal(list.count, vectors[i].count);
        for (size_t k = 0; k < list.count; k++) assert_true(wa__str_eq(list.entries[k].name, e[k].name));
        wa__dir_list_done(&list);
        wa__unixfs_done(&u);
        wa__pb_done(&node);
        wa__arena_done(&arena);
        memory_done(&m);
        wa__free(e);
        wa__free(names);
    }
}

static void test_murmur3(void **state)
{
    (void)state;
    /* Kubo shards 470.txt under 00, then 6E. */
    assert_int_equal(wa__murmur3_64("470.txt", 7) >> 48, 0x006e);
}

/* --- hostile blocks ---------------------------------------------------------------------------- */

static size_t from_hex(const char *hex, uint8_t *out)
{
    size_t n = 0;
    for (; hex[0] && hex[1]; hex += 2) {
        unsigned v = 0;
        sscanf(hex, "%2x", &v);
        out[n++] = (uint8_t)v;
    }
    return n;
}

#define D "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
#define C "0a2401551220" D                /* Hash, 38 bytes in all */
#define LINK "122a" C "1200" "1801"       /* a file's link, Tsize 1 */

static wa_status decode(const char *hex, wa_error *err)
{
    uint8_t bytes[4096];
    size_t n = from_hex(hex, bytes);
    wa_pb_node node;
    wa_unixfs u;
    wa_status s = wa__pb_decode(bytes, n, "block", &node, err);
    if (s != WA_OK) return s;
    s = wa__unixfs_decode(&node, "block", &u, err);
    if (s == WA_OK) wa__unixfs_done(&u);
    wa__pb_done(&node);
    return s;
}

static void test_accepted(void **state)
{
    (void)state;
    static const char *const good[] = {
        "0a020801",                                  /* the empty folder */
        "0a0408021800",                              /* the empty file */
        LINK "0a06" "0802" "1801" "2001",            /* links, then data */
        "0a06" "0802" "1801" "2001" LINK,            /* data, then links */
        "1226" C "0a06" "0802" "1801" "2001",        /* neither Name nor Tsize */
        LINK "0a07" "0802" "1801" "220101",          /* packed block sizes */
        "0a05" "0804" "120161",                      /* a symbolic link to a */
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        wa_error err = {0};
        wa_status s = decode(good[i], &err);
        if (s != WA_OK) fail_msg("%s: %s", good[i], err.message);
    }
}

static void test_hostile(void **state)
{
    (void)state;
    static const struct {
        const char *hex, *why;
    } bad[] = {
        {"", "no data"},
        {"0a", "a length is missing"},
        {"0a05080118", "cut short"},
        {"0affffffffffffffffff01", "a length of 2^64"},
        {"0a0208010a020801", "Data twice"},
        {LINK "0a020801" LINK, "links around Data"},
        {"1a020801", "an unknown field"},
        {"08010a020801", "a wrong wire type"},
        {"122a" "1200" C "1801" "0a020801", "a link's fields out of order"},
        {"122a" C "1801" "1200" "0a020801", "Tsize before Name"},
        {"124c" C C "0a020801", "Hash twice"},
        {"1202" "1200" "0a020801", "a link without Hash"},
        {"1204" "0a020155" "0a020801", "a link with half a CID"},
        {"122b" "0a2501551220" D "00" "1200" "1801" "0a020801", "bytes after the CID"},
        {"122c" C "1200" "1801" "2001" "0a020801", "an unknown field in a link"},
        {LINK "0a04" "0802" "1801", "a link but no block size"},
        {"0a06" "0802" "1801" "2001", "a block size but no link"},
        {LINK "0a06" "0802" "1802" "2001", "a filesize that does not add up"},
        {LINK LINK "0a1a" "0802" "1800" "20ffffffffffffffffff01" "20ffffffffffffffffff01", "sizes that overflow"},
        {"122b" C "120161" "1801" "0a06" "0802" "1801" "2001", "a name in a file's link"},
        {"0a020806", "type 6"},
        {"0a0412020102", "no type"},
        {"0a0408010801", "type twice"},
        {"0a020803", "Metadata"},
        {"0a0408012001", "block sizes in a folder"},
        {"0a0b" "0805" "120100" "2822" "308080" "02", "fanout 32768"},
        {"0a0a" "0805" "120100" "2822" "30ff01", "fanout 255"},
        {"0a09" "0805" "120100" "2822" "3000", "fanout 0"},
        {"0a0a" "0805" "120100" "2812" "308002", "another hash"},
        {"0a0a" "0805" "120101" "2822" "308002", "a bit without a link"},
        {LINK "0a06" "0804" "12026161", "a symlink with a link"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        wa_error err = {0};
        wa_status s = decode(bad[i].hex, &err);
        if (s == WA_OK) fail_msg("accepted: %s", bad[i].why);
        assert_true(strstr(err.message, "block") != NULL);
    }
}

static void test_names(void **state)
{
    (void)state;
    static const wa_str bad[] = {{"", 0}, {".", 1}, {"..", 2}, {"a/b", 3}, {"a\0b", 3}, {"\xff", 1}, {"/", 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        wa_error err = {0};
        assert_int_not_equal(wa__dir_name_check(bad[i], "f", &err), WA_OK);
        assert_true(err.message[0] != 0);
        /* The same inside a block. */
        wa_buf b;
        wa_pb_node node;
        wa_unixfs u;
        wa_arena arena;
        wa_dir_list list;
        wa_cid cid = {1, WA_CODEC_RAW, {0}};
        wa__buf_init(&b, 1000);
        wa__arena_init(&arena, 100000);
        assert_ok(wa__pb_put_link(&b, &cid, bad[i], 1, &err), err);
        assert_ok(wa__pb_put_data(&b, "\x08\x01", 2, &err), err);
        assert_ok(wa__pb_decode(b.ptr, b.len, "x", &node, &err), err);
        assert_ok(wa__unixfs_decode(&node, "x", &u, &err), err);
        assert_int_not_equal(wa__dir_list(&node, &u, "x", memory_get, NULL, &arena, &list, &err), WA_OK);
        wa__unixfs_done(&u);
        wa__pb_done(&node);
        wa__arena_done(&arena);
        wa__buf_done(&b);
    }
    wa_dir_entry two[2] = {{{"a", 1}, {1, WA_CODEC_RAW, {0}}, 1}, {{"..", 2}, {1, WA_CODEC_RAW, {0}}, 1}};
    memory m = {0};
    wa_cid root;
    uint64_t tsize;
    assert_int_equal(wa__dir_build(wa__profile(0), two, 2, memory_put, &m, &root, &tsize, NULL), WA_CORRUPT);
    memory_done(&m);
}

/* Every allocation of building and reading a sharded folder fails once, and nothing leaks or crashes. */
static void test_allocation_failures(void **state)
{
    (void)state;
    char *names;
    wa_dir_entry *e = make_entries(WA_PROFILE_V1_2025, "alloc", 5000, 11, 11, &names);
    uint64_t n = 1;
    for (bool done = false; !done; n += n < 60 ? 1 : 97) {
        memory m = {0};
        wa_cid root;
        uint64_t tsize;
        wa_error err = {0};
        wa_pb_node node = {0};
        wa_unixfs u = {0};
        wa_dir_list list = {0};
        wa_arena arena;
        wa__arena_init(&arena, 1 << 26);
        wa__alloc_fail_at(n);
        wa_status s = wa__dir_build(wa__profile(0), e, 5000, memory_put, &m, &root, &tsize, &err);
        if (s == WA_OK) s = wa__pb_decode(m.blocks[m.count - 1].ptr, m.blocks[m.count - 1].len, "root", &node, &err);
        if (s == WA_OK) s = wa__unixfs_decode(&node, "root", &u, &err);
        if (s == WA_OK) s = wa__dir_list(&node, &u, "root", memory_get, &m, &arena, &list, &err);
        done = wa__alloc_fail_at(0) < n;
        assert_int_equal(s, done ? WA_OK : WA_NO_MEMORY);
        wa__dir_list_done(&list);
        wa__unixfs_done(&u);
        wa__pb_done(&node);
        wa__arena_done(&arena);
        memory_done(&m);
    }
    assert_true(n > 100);
    wa__free(e);
    wa__free(names);
}

static void test_sidecar(void **state)
{
    (void)state;
    const wa_profile *p = wa__profile(0);
    uint64_t size = 3 * (uint64_t)p->chunk_bytes - 5;
    wa_digest leaves[3] = {{1}, {2}, {3}};
    wa_buf nodes, side;
    wa_file_root root;
    wa_sidecar s;
    wa_error err = {0};
    wa__buf_init(&nodes, 10000);
    wa__buf_init(&side, 10000);
    assert_ok(wa__file_tree(p, size, (const wa_digest *)leaves, &nodes, &root, &err), err);
    assert_ok(wa__sidecar_write(0, size, (const wa_digest *)leaves, &nodes, root.node_count, &side, &err), err);
    assert_ok(wa__sidecar_read(side.ptr, side.len, "side", &s, &err), err);
    assert_int_equal(s.leaf_count, 3);
    assert_int_equal(s.verified[0], 7);
    assert_memory_equal(s.leaves, leaves, sizeof leaves);
    assert_memory_equal(s.nodes, nodes.ptr, nodes.len);
    for (size_t n = 0; n < side.len; n++) assert_int_not_equal(wa__sidecar_read(side.ptr, n, "side", &s, &err), WA_OK);
    for (size_t i = 0; i < 48 * 8; i++) {
        if (i / 8 >= 12 && i / 8 < 16) continue; /* the node count is checked against the root, not here */
        side.ptr[i / 8] = (char)(side.ptr[i / 8] ^ 1 << (i % 8));
        wa_status got = wa__sidecar_read(side.ptr, side.len, "side", &s, &err);
        side.ptr[i / 8] = (char)(side.ptr[i / 8] ^ 1 << (i % 8));
        if (got == WA_OK && i / 8 >= 16 && i / 8 < 19) continue; /* another size with as many leaves */
        assert_int_not_equal(got, WA_OK);
    }
    wa__buf_done(&nodes);
    wa__buf_done(&side);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_vectors),   cmocka_unit_test(test_hello_vectors), cmocka_unit_test(test_folder_vectors),
        cmocka_unit_test(test_murmur3),        cmocka_unit_test(test_accepted),      cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_names),          cmocka_unit_test(test_sidecar),       cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
