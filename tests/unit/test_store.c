/* The store: Kubo's CIDs for odd trees, use, damage, removal, crashes, several processes. */
#include "base/limits.h"
#include "base/os_file.h"
#include "ipfs/store.h"
#include "tests.h"
#include "ipfs_inputs.h"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *base; /* a fresh folder for each test */

static int setup(void **state)
{
    (void)state;
    wa_error err;
    const char *tmp = getenv("TMPDIR"); /* memory by default: the trees have many files */
    if (!tmp) tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    return wa__os_temp_dir(tmp, "wa-store-", &base, &err) == WA_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    wa_error err;
    int bad = wa__os_remove_tree(base, &err) != WA_OK;
    wa__free(base);
    return bad;
}

static const char *at(const char *rel)
{
    static char paths[8][1024];
    static unsigned next;
    char *p = paths[next++ % 8];
    snprintf(p, sizeof paths[0], "%s/%s", base, rel);
    return p;
}

static void make_parent(const char *path)
{
    char copy[2048];
    wa_error err;
    snprintf(copy, sizeof copy, "%s", path);
    *strrchr(copy, '/') = 0;
    assert_ok(wa__os_mkdirs(copy, 0755, &err), err);
}

static void put_bytes(const char *path, const void *p, size_t n)
{
    make_parent(path);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    fclose(f);
}

static void put_seeded(const char *path, size_t size, const char *seed)
{
    uint8_t *bytes = wa__alloc(1, size + 1);
    seed_stream in = seed_open(seed);
    seed_read(&in, bytes, size);
    seed_close(&in);
    put_bytes(path, bytes, size);
    wa__free(bytes);
}

static wa_store *open_store(void)
{
    wa_store *s = NULL;
    wa_error err = {0};
    assert_ok(wa__store_open(at("home/store"), &s, &err), err);
    return s;
}

static wa_store_added add(wa_store *s, const char *path)
{
    wa_store_added a = {0};
    wa_error err = {0};
    assert_ok(wa__store_add(s, path, NULL, &a, &err), err);
    return a;
}

/* --- Kubo's CIDs ------------------------------------------------------------------------------ */

static const char *expected_of(const char *name)
{
    static char cid[256];
    char line[512], case_name[128];
    FILE *f = fopen(WA_TEST_DIR "/data/ipfs/expected.txt", "r");
    assert_non_null(f);
    bool found = false;
    while (!found && fgets(line, sizeof line, f)) found = sscanf(line, "%127s %255s", case_name, cid) == 2 && !strcmp(case_name, name);
    fclose(f);
    if (!found) fail_msg("expected.txt has no %s: run make_expected.py", name);
    return cid;
}

static void make_line(const char *root, char *words[4])
{
    char rel[512], path[1024];
    size_t n = 0;
    for (const char *p = words[1]; *p && n + 1 < sizeof rel; p++) {
        bool space = !strncmp(p, "%20", 3);
        rel[n++] = space ? ' ' : *p;
        if (space) p += 2;
    }
    rel[n] = 0;
    snprintf(path, sizeof path, strcmp(rel, ".") ? "%s/%s" : "%s", root, rel);
    wa_error err;
    if (!strcmp(words[0], "file")) put_seeded(path, (size_t)atoll(words[2]), words[3]);
    else if (!strcmp(words[0], "dir")) assert_ok(wa__os_mkdirs(path, 0755, &err), err);
    else if (!strcmp(words[0], "zero")) {
        put_bytes(path, "", 0);
        assert_int_equal(truncate(path, atoll(words[2])), 0);
    } else if (!strcmp(words[0], "link")) {
        make_parent(path);
        assert_int_equal(symlink(words[2], path), 0);
    } else if (!strcmp(words[0], "many")) {
        for (int i = 0; i < atoll(words[2]); i++) {
            char name[1100];
            snprintf(name, sizeof name, "%s%d", path, i);
            if (i == 0) make_parent(name);
            int fd = open(name, O_WRONLY | O_CREAT, 0644);
            assert_int_equal(write(fd, "x", 1), 1);
            close(fd);
        }
    } else fail_msg("cases.txt: %s", words[0]);
}

static void check_case(wa_store *s, const char *name, const char *profile, const char *flags)
{
    wa_store_added a = {0};
    wa_error err = {0};
    wa_store_add_options o = {.hash_only = true, .hidden = !strcmp(flags, "hidden"),
                              .profile = !strcmp(profile, "v0") ? WA_PROFILE_V0_2015 : !strcmp(profile, "k1") ? WA_PROFILE_V1_KUBO : WA_PROFILE_V1_2025};
    wa_status st = wa__store_add(s, at("tree"), &o, &a, &err);
    if (st != WA_OK) fail_msg("%s: %s", name, err.message);
    if (strcmp(a.cid, expected_of(name))) fail_msg("%s: %s, but Kubo gives %s", name, a.cid, expected_of(name));
    assert_ok(wa__os_remove_tree(at("tree"), &err), err);
}

static void test_kubo_cids(void **state)
{
    (void)state;
    wa_store *s = open_store();
    char line[1024], name[128] = "", profile[16] = "", flags[16] = "";
    FILE *f = fopen(WA_TEST_DIR "/data/ipfs/cases.txt", "r");
    assert_non_null(f);
    int count = 0;
    while (fgets(line, sizeof line, f)) {
        char *words[4] = {NULL};
        int n = 0;
        for (char *save = NULL, *w = strtok_r(line, " \n", &save); w && n < 4; w = strtok_r(NULL, " \n", &save)) words[n++] = w;
        if (n == 0 || words[0][0] == '#') continue;
        if (strcmp(words[0], "case")) {
            make_line(at("tree"), words);
            continue;
        }
        if (name[0]) check_case(s, name, profile, flags);
        snprintf(name, sizeof name, "%s", words[1]);
        snprintf(profile, sizeof profile, "%s", words[2]);
        snprintf(flags, sizeof flags, "%s", words[3]);
        count++;
    }
    check_case(s, name, profile, flags);
    fclose(f);
    assert_true(count > 20);
    wa__store_close(s);
}

/* --- use --------------------------------------------------------------------------------------- */

static void small_tree(const char *root)
{
    char p[1024];
    snprintf(p, sizeof p, "%s/model.bin", root);
    put_seeded(p, 3000000, "model");
    snprintf(p, sizeof p, "%s/config.json", root);
    put_bytes(p, "{}", 2);
    snprintf(p, sizeof p, "%s/sub/copy of config", root);
    put_bytes(p, "{}", 2);
    snprintf(p, sizeof p, "%s/.git/x", root);
    put_bytes(p, "x", 1);
}

static size_t count_files(const char *folder)
{
    char **names = NULL;
    size_t n = 0, total = 0;
    wa_error err;
    assert_ok(wa__os_list(folder, &names, &n, &err), err);
    for (size_t i = 0; i < n; i++) {
        char p[2048];
        wa_file_info info;
        snprintf(p, sizeof p, "%s/%s", folder, names[i]);
        assert_ok(wa__os_stat(p, false, &info, &err), err);
        total += info.kind == WA_FILE_DIR ? count_files(p) : 1;
    }
    wa__os_list_free(names, n);
    return total;
}

static bool same_files(const char *a, const char *b)
{
    wa_map x, y;
    wa_error err;
    assert_ok(wa__os_map(a, &x, &err), err);
    assert_ok(wa__os_map(b, &y, &err), err);
    bool same = x.size == y.size && (x.size == 0 || !memcmp(x.data, y.data, x.size));
    wa__os_unmap(&x);
    wa__os_unmap(&y);
    return same;
}

static void test_add_use_remove(void **state)
{
    (void)state;
    wa_store *s = open_store();
    wa_error err = {0};
    small_tree(at("tree"));
    wa_store_added a = add(s, at("tree"));
    assert_true(a.is_dir);
    assert_int_equal(a.file_count, 3);
    assert_int_equal(a.folder_count, 2);
    assert_int_equal(a.hidden_count, 1);
    assert_int_equal(a.size_bytes, 3000004);
    /* Two contents: one sidecar, since {} is one raw leaf, stored once. */
    assert_int_equal(count_files(at("home/store/files")), 3);
    assert_int_equal(count_files(at("home/store/tmp")), 0);

    wa_store_tree t;
    assert_ok(wa__store_resolve(s, a.cid, &t, &err), err);
    assert_int_equal(t.file_count, 3);
    const wa_store_entry *e = wa__store_tree_find(&t, "model.bin");
    assert_non_null(e);
    assert_true(same_files(e->disk, at("tree/model.bin")));
    assert_non_null(wa__store_tree_find(&t, "sub/copy of config"));
    wa__store_tree_done(&t);

    char sub[256];
    snprintf(sub, sizeof sub, "/ipfs/%s/sub", a.cid);
    assert_ok(wa__store_resolve(s, sub, &t, &err), err);
    assert_int_equal(t.count, 2);
    wa__store_tree_done(&t);
    snprintf(sub, sizeof sub, "ipfs://%s/nothing", a.cid);
    assert_int_equal(wa__store_resolve(s, sub, &t, &err), WA_NOT_FOUND);
    assert_non_null(strstr(err.message, "nothing"));
    assert_int_equal(wa__store_resolve(s, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", &t, &err), WA_NOT_FOUND);
    assert_int_equal(wa__store_resolve(s, "hello", &t, &err), WA_INVALID_ARGUMENT);
    assert_true(wa__store_is_cid(sub));
    assert_false(wa__store_is_cid("./model"));

    bool present = false;
    wa_cid missing;
    assert_ok(wa__store_has(s, &a.root, &present, NULL, &err), err);
    assert_true(present);
    wa_cid other = a.root;
    other.digest[0] ^= 1;
    assert_ok(wa__store_has(s, &other, &present, &missing, &err), err);
    assert_false(present);
    assert_true(wa__cid_equal(&missing, &other));

    uint64_t bytes = 0, freed = 0;
    assert_ok(wa__store_verify(s, NULL, NULL, &bytes, &err), err);
    assert_int_equal(bytes, 3000004);
    assert_ok(wa__store_touch(s, &a.root, true, &err), err);
    assert_ok(wa__store_touch(s, &a.root, true, &err), err);
    assert_ok(wa__store_touch(s, &a.root, false, &err), err);
    wa_store_root *roots;
    size_t n;
    assert_ok(wa__store_list(s, &roots, &n, &err), err);
    assert_int_equal(n, 1);
    assert_string_equal(roots[0].cid, a.cid);
    assert_string_equal(roots[0].name, "tree");
    assert_true(roots[0].hit_count == 2 && roots[0].miss_count == 1 && roots[0].used_ms >= roots[0].added_ms);
    wa__store_list_free(roots, n);

    /* A second root shares config.json: removing the first keeps it. */
    wa_store_added c = add(s, at("tree/config.json"));
    assert_ok(wa__store_remove(s, a.cid, &freed, &err), err);
    assert_true(freed >= 3000000);
    assert_int_equal(count_files(at("home/store/files")), 1);
    assert_ok(wa__store_resolve(s, c.cid, &t, &err), err);
    wa__store_tree_done(&t);
    assert_int_equal(wa__store_remove(s, a.cid, &freed, &err), WA_NOT_FOUND);
    assert_ok(wa__store_remove(s, c.cid, &freed, &err), err);
    assert_int_equal(count_files(at("home/store/files")), 0);
    wa_store_totals totals;
    assert_ok(wa__store_totals_of(s, &totals, &err), err);
    assert_true(totals.root_count == 0 && totals.file_count == 0 && totals.size_bytes == 0 && totals.hit_count == 2);
    wa__store_close(s);
}

static void age(const char *path)
{
    /* Old enough to be remembered: times that another change in the same tick could not share. ctime
     * cannot be set, so the test waits for it. */
    struct timespec t[2] = {{1000000000, 0}, {1000000000, 0}};
    assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

static void test_again(void **state)
{
    (void)state;
    wa_store *s = open_store();
    small_tree(at("tree"));
    age(at("tree/model.bin"));
    wa__os_sleep_ms(2100);
    wa_store_added a = add(s, at("tree")), b = add(s, at("tree"));
    assert_string_equal(a.cid, b.cid);
    assert_int_equal(a.hashed_bytes, 3000004);
    assert_true(b.hashed_bytes == 0); /* all of it remembered */
    assert_int_equal(count_files(at("home/store/files")), 3);
    /* Changed in place: seen, and another CID. */
    FILE *f = fopen(at("tree/model.bin"), "r+b");
    fputc('!', f);
    fclose(f);
    age(at("tree/model.bin")); /* even with its old mtime: ctime tells */
    wa_store_added c = add(s, at("tree"));
    assert_string_not_equal(c.cid, a.cid);
    /* The user's file is not ours: the stored one did not change. */
    wa_error err = {0};
    assert_ok(wa__store_verify(s, a.cid, NULL, NULL, &err), err);
    wa_map m;
    wa_store_tree t;
    assert_ok(wa__store_resolve(s, a.cid, &t, &err), err);
    assert_ok(wa__os_map(wa__store_tree_find(&t, "model.bin")->disk, &m, &err), err);
    assert_ok(wa__store_remove(s, a.cid, NULL, &err), err);
    uint8_t first = m.data[0], last = m.data[m.size - 1]; /* mapped bytes outlive the removal */
    (void)first;
    (void)last;
    wa__os_unmap(&m);
    wa__store_tree_done(&t);
    wa__store_close(s);
}

static void test_damage(void **state)
{
    (void)state;
    wa_store *s = open_store();
    wa_error err = {0};
    wa_store_tree t;
    small_tree(at("tree"));
    wa_store_added a = add(s, at("tree"));
    assert_ok(wa__store_resolve(s, a.cid, &t, &err), err);
    char disk[1024];
    snprintf(disk, sizeof disk, "%s", wa__store_tree_find(&t, "model.bin")->disk);
    wa__store_tree_done(&t);
    struct stat st;
    assert_int_equal(stat(disk, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0444);
    /* Touched but whole: re-hashed, accepted, recorded. */
    age(disk);
    assert_ok(wa__store_resolve(s, a.cid, &t, &err), err);
    wa__store_tree_done(&t);
    /* One byte of block 1. */
    assert_int_equal(chmod(disk, 0644), 0);
    int fd = open(disk, O_RDWR);
    assert_int_equal(pwrite(fd, "\x55\xaa", 2, 1500000), 2);
    close(fd);
    assert_int_equal(wa__store_resolve(s, a.cid, &t, &err), WA_VERIFY);
    assert_non_null(strstr(err.message, "model.bin"));
    assert_non_null(strstr(err.message, "block 1 of 3"));
    assert_int_equal(wa__store_verify(s, a.cid, NULL, NULL, &err), WA_VERIFY);
    assert_int_equal(wa__store_get(s, a.cid, at("out"), NULL, &err), WA_VERIFY);
    assert_int_not_equal(access(at("out"), F_OK), 0);
    /* Added again: repaired. */
    wa_store_added b = add(s, at("tree"));
    assert_string_equal(a.cid, b.cid);
    assert_ok(wa__store_resolve(s, a.cid, &t, &err), err);
    wa__store_tree_done(&t);
    /* Cut, then gone. */
    assert_int_equal(chmod(disk, 0644), 0);
    assert_int_equal(truncate(disk, 100), 0);
    assert_int_equal(wa__store_resolve(s, a.cid, &t, &err), WA_VERIFY);
    assert_int_equal(unlink(disk), 0);
    assert_int_equal(wa__store_resolve(s, a.cid, &t, &err), WA_VERIFY);
    assert_non_null(strstr(err.message, "gone"));
    add(s, at("tree"));
    /* A sidecar that lies is found out when it is needed. */
    char side[1100];
    snprintf(side, sizeof side, "%s.side", disk);
    assert_int_equal(chmod(side, 0644), 0);
    fd = open(side, O_RDWR);
    assert_int_equal(pwrite(fd, "\x55\xaa", 2, 60), 2);
    close(fd);
    assert_int_equal(wa__store_verify(s, a.cid, NULL, NULL, &err), WA_VERIFY);
    assert_non_null(strstr(err.message, "leaves do not make the root"));
    wa__store_close(s);
}

static void test_get(void **state)
{
    (void)state;
    wa_store *s = open_store();
    wa_error err = {0};
    small_tree(at("tree"));
    assert_int_equal(symlink("../config.json", at("tree/sub/link")), 0);
    wa_store_added a = add(s, at("tree"));
    assert_int_equal(a.link_count, 1);
    assert_ok(wa__store_get(s, a.cid, at("out"), NULL, &err), err);
    assert_true(same_files(at("out/model.bin"), at("tree/model.bin")));
    assert_true(same_files(at("out/sub/link"), at("tree/config.json")));
    assert_string_equal(add(s, at("out")).cid, a.cid);
    assert_int_equal(wa__store_get(s, a.cid, at("out"), NULL, &err), WA_INVALID_ARGUMENT);
    char name[256];
    snprintf(name, sizeof name, "%s/model.bin", a.cid);
    assert_ok(wa__store_get(s, name, at("one.bin"), NULL, &err), err);
    assert_true(same_files(at("one.bin"), at("tree/model.bin")));
    /* Links that would lead out are not made, and nothing else is. */
    static const char *const out[] = {"../../x", "/etc/passwd", "..//../x", "../sub/../../x", "../sub/../x"};
    for (size_t i = 0; i < sizeof out / sizeof *out; i++) {
        assert_ok(wa__os_remove_tree(at("evil"), &err), err);
        put_bytes(at("evil/sub/f"), "f", 1);
        put_bytes(at("evil/x"), "x", 1);
        /* Kept as links on the way in: their text stays inside, or they lead nowhere. */
        assert_int_equal(symlink(out[i][0] == '/' ? "/nowhere/at/all" : out[i], at("evil/sub/l")), 0);
        wa_store_added e = add(s, at("evil"));
        if (e.link_count == 0) continue;
        assert_int_equal(wa__store_get(s, e.cid, at("out2"), NULL, &err), WA_UNSUPPORTED);
        assert_int_not_equal(access(at("out2"), F_OK), 0);
    }
    assert_int_equal(count_files(base), count_files(at("home")) + count_files(at("tree")) + count_files(at("out")) + 1 + count_files(at("evil")));
    wa__store_close(s);
}

static void test_profiles_and_shards(void **state)
{
    (void)state;
    wa_store *s = open_store();
    wa_error err = {0};
    put_seeded(at("tree/sub/big"), 1000001, "two");
    put_seeded(at("tree/small"), 5, "one");
    put_bytes(at("tree/empty"), "", 0);
    for (int i = 0; i < 3000; i++) {
        char name[128];
        snprintf(name, sizeof name, "tree/many/a-name-long-enough-that-few-of-them-make-shards-%d", i);
        if (i == 0) put_bytes(at(name), "x", 1);
        FILE *f = fopen(at(name), "w");
        fputc('x', f);
        fclose(f);
    }
    wa_store_added a[WA_PROFILE_COUNT];
    for (int i = 0; i < WA_PROFILE_COUNT; i++) {
        wa_store_add_options o = {.profile = (wa_profile_id)i};
        char out[32], file[256];
        wa_store_tree t;
        assert_ok(wa__store_add(s, at("tree"), &o, &a[i], &err), err);
        assert_ok(wa__store_verify(s, a[i].cid, NULL, NULL, &err), err);
        assert_ok(wa__store_resolve(s, a[i].cid, &t, &err), err);
        assert_int_equal(t.file_count, 3003);
        assert_non_null(wa__store_tree_find(&t, "many/a-name-long-enough-that-few-of-them-make-shards-2711"));
        wa__store_tree_done(&t);
        snprintf(out, sizeof out, "out%d", i);
        assert_ok(wa__store_get(s, a[i].cid, at(out), NULL, &err), err);
        snprintf(file, sizeof file, "%s/sub/big", out);
        assert_true(same_files(at(file), at("tree/sub/big")));
        snprintf(file, sizeof file, "%s/small/x", a[i].cid);
        assert_int_equal(wa__store_resolve(s, file, &t, &err), WA_NOT_FOUND);
        assert_non_null(strstr(err.message, "is a file"));
    }
    for (int i = 0; i < WA_PROFILE_COUNT; i++) assert_ok(wa__store_remove(s, a[i].cid, NULL, &err), err);
    assert_int_equal(count_files(at("home/store/files")), 0);
    wa__store_close(s);
}

static void on_followed(void *user, const char *link_path, const char *target)
{
    assert_non_null(strstr(link_path, "snapshots/1/"));
    assert_non_null(strstr(target, "blobs/"));
    ++*(int *)user;
}

static void test_links(void **state)
{
    (void)state;
    wa_store *s = open_store();
    wa_error err = {0};
    /* As in Hugging Face's cache. */
    put_seeded(at("cache/blobs/aaaa"), 2000000, "x");
    put_bytes(at("cache/blobs/dir/b"), "b", 1);
    put_bytes(at("cache/snapshots/1/plain"), "p", 1);
    assert_int_equal(symlink("../../blobs/aaaa", at("cache/snapshots/1/model.bin")), 0);
    assert_int_equal(symlink("../../blobs/dir", at("cache/snapshots/1/folder")), 0);
    assert_int_equal(symlink("plain", at("cache/snapshots/1/inner")), 0);
    int calls = 0;
    wa_store_add_options o = {.followed = on_followed, .user = &calls};
    wa_store_added a;
    assert_ok(wa__store_add(s, at("cache/snapshots/1"), &o, &a, &err), err);
    assert_true(calls == 2 && a.followed_count == 2 && a.link_count == 1);
    wa_store_tree t;
    assert_ok(wa__store_resolve(s, a.cid, &t, &err), err);
    assert_true(same_files(wa__store_tree_find(&t, "model.bin")->disk, at("cache/blobs/aaaa")));
    assert_non_null(wa__store_tree_find(&t, "folder/b"));
    assert_string_equal(wa__store_tree_find(&t, "inner")->target, "plain");
    wa__store_tree_done(&t);
    /* A loop through the outside, a pipe, a name that is no UTF-8, nothing at all. */
    assert_int_equal(symlink(at("cache"), at("cache/blobs/dir/loop")), 0);
    assert_int_equal(wa__store_add(s, at("cache/snapshots/1"), NULL, &a, &err), WA_UNSUPPORTED);
    assert_non_null(strstr(err.message, "loop"));
    unlink(at("cache/blobs/dir/loop"));
    assert_int_equal(mkfifo(at("cache/snapshots/1/pipe"), 0600), 0);
    assert_int_equal(wa__store_add(s, at("cache/snapshots/1"), NULL, &a, &err), WA_UNSUPPORTED);
    assert_non_null(strstr(err.message, "pipe"));
    unlink(at("cache/snapshots/1/pipe"));
    put_bytes(at("cache/snapshots/1/\xff"), "b", 1);
    assert_int_not_equal(wa__store_add(s, at("cache/snapshots/1"), NULL, &a, &err), WA_OK);
    assert_non_null(strstr(err.message, "UTF-8"));
    assert_int_equal(wa__store_add(s, at("absent"), NULL, &a, &err), WA_NOT_FOUND);
    wa__store_close(s);
}

/* --- crashes, company, cancelling ---------------------------------------------------------------- */

static atomic_bool stop;

static void stop_early(void *user, uint64_t done, uint64_t total)
{
    (void)user;
    assert_true(done <= total);
    if (done > 0) atomic_store(&stop, true);
}

static void test_cancel(void **state)
{
    (void)state;
    wa_store *s = open_store();
    wa_error err = {0};
    put_seeded(at("tree/a"), 1000, "a");
    put_bytes(at("tree/big"), "", 0);
    assert_int_equal(truncate(at("tree/big"), 200 << 20), 0);
    atomic_store(&stop, false);
    wa_store_add_options o = {.cancel = &stop, .progress = stop_early};
    wa_store_added a;
    assert_int_equal(wa__store_add(s, at("tree"), &o, &a, &err), WA_CANCELLED);
    assert_int_equal(count_files(at("home/store/files")), 0);
    assert_int_equal(count_files(at("home/store/tmp")), 0);
    wa__store_close(s);
}

static void die_here(void *user, uint64_t done, uint64_t total)
{
    (void)user;
    (void)total;
    if (done >= 64 << 20) kill(getpid(), SIGKILL);
}

static void test_killed(void **state)
{
    (void)state;
    wa_error err = {0};
    put_seeded(at("tree/a"), 1000, "a");
    put_bytes(at("tree/big"), "", 0);
    assert_int_equal(truncate(at("tree/big"), 200 << 20), 0);
    wa__store_close(open_store());
    pid_t child = fork();
    if (child == 0) {
        wa_store *s = NULL;
        wa_store_add_options o = {.progress = die_here};
        wa_store_added a;
        if (wa__store_open(at("home/store"), &s, NULL) == WA_OK) (void)!wa__store_add(s, at("tree"), &o, &a, NULL);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_true(count_files(at("home/store/tmp")) >= 2); /* a and half of big */
    assert_int_equal(count_files(at("home/store/files")), 0);
    /* Also what a crash between placing and committing would leave. */
    put_bytes(at("home/store/files/gi/bafkreibwvht7dsk3ql73tf2d4dc4jtuv3a6juqykvrm7qtxtzp5lmfcqna"), "?", 1);
    wa_store *s = open_store();
    assert_int_equal(count_files(at("home/store/tmp")), 0);
    assert_int_equal(count_files(at("home/store/files")), 0);
    wa_store_root *roots;
    size_t n;
    assert_ok(wa__store_list(s, &roots, &n, &err), err);
    assert_int_equal(n, 0);
    wa__store_list_free(roots, n);
    add(s, at("tree"));
    wa__store_close(s);
}

static void test_many_processes(void **state)
{
    (void)state;
    enum { PROCESSES = 4 };
    wa_error err = {0};
    pid_t pids[PROCESSES];
    small_tree(at("tree"));
    put_bytes(at("tree/more"), "more", 4);
    for (int i = 0; i < PROCESSES; i++) {
        if ((pids[i] = fork()) != 0) continue;
        wa_store *s = NULL;
        wa_store_added a, b;
        wa_status st = wa__store_open(at("home/store"), &s, &err);
        for (int k = 0; k < 5 && st == WA_OK; k++) {
            st = wa__store_add(s, at("tree/more"), NULL, &b, &err);
            if (st == WA_OK) st = wa__store_add(s, at("tree"), NULL, &a, &err);
            if (st == WA_OK && i % 2) {
                st = wa__store_remove(s, b.cid, NULL, &err);
                if (st == WA_NOT_FOUND) st = WA_OK; /* the other one was faster */
            }
        }
        if (st != WA_OK) fprintf(stderr, "process %d: %s\n", i, err.message);
        wa__store_close(s);
        _exit(st != WA_OK);
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status = 0;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    wa_store *s = open_store();
    wa_store_added a = add(s, at("tree"));
    assert_ok(wa__store_verify(s, NULL, NULL, NULL, &err), err);
    bool present;
    assert_ok(wa__store_has(s, &a.root, &present, NULL, &err), err);
    assert_true(present);
    assert_int_equal(count_files(at("home/store/tmp")), 0);
    wa__store_close(s);
}

/* Each allocation of our own fails once on a small add, resolve, get, list and removal. */
static void test_allocation_failures(void **state)
{
    (void)state;
    put_bytes(at("tree/a"), "a", 1);
    put_bytes(at("tree/sub/b"), "bb", 2);
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        wa_store *s = NULL;
        wa_error err = {0};
        wa_store_added a = {0};
        wa_store_tree t;
        wa_store_root *roots;
        size_t count;
        assert_ok(wa__os_remove_tree(at("out"), &err), err);
        wa__alloc_fail_at(n);
        wa_status st = wa__store_open(at("home/store"), &s, &err);
        if (st == WA_OK) st = wa__store_add(s, at("tree"), NULL, &a, &err);
        if (st == WA_OK) st = wa__store_resolve(s, a.cid, &t, &err);
        if (st == WA_OK) wa__store_tree_done(&t);
        if (st == WA_OK) st = wa__store_get(s, a.cid, at("out"), NULL, &err);
        if (st == WA_OK) st = wa__store_list(s, &roots, &count, &err);
        if (st == WA_OK) wa__store_list_free(roots, count);
        if (st == WA_OK) st = wa__store_verify(s, a.cid, NULL, NULL, &err);
        if (st == WA_OK) st = wa__store_remove(s, a.cid, NULL, &err);
        done = wa__alloc_fail_at(0) < n;
        if (done) assert_ok(st, err);
        /* A path that ran out of memory may say "gone" instead where the system call's wrapper does. */
        else if (st != WA_OK && st != WA_NO_MEMORY && st != WA_NOT_FOUND) fail_msg("allocation %d: status %d: %s", (int)n, st, err.message);
        wa__store_close(s);
    }
    assert_int_equal(count_files(at("home/store/tmp")), 0);
}

int main(void)
{
    atomic_init(&stop, false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kubo_cids, setup, teardown),
        cmocka_unit_test_setup_teardown(test_add_use_remove, setup, teardown),
        cmocka_unit_test_setup_teardown(test_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_get, setup, teardown),
        cmocka_unit_test_setup_teardown(test_profiles_and_shards, setup, teardown),
        cmocka_unit_test_setup_teardown(test_links, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_processes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_allocation_failures, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
