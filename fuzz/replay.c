/* Stands in for libFuzzer: runs LLVMFuzzerTestOneInput on every file of the folders and files named. */
#include "base/os.h"
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
    wa_file_info info;
    wa_error err = {0};
    if (wa__os_stat(path, true, &info, &err) != WA_OK || info.kind == WA_FILE_NONE) {
        fprintf(stderr, "replay: %s does not exist\n", path);
        return 1;
    }
    if (info.kind == WA_FILE_DIR) {
        char **names = NULL;
        size_t count = 0;
        int bad = wa__os_list(path, &names, &count, &err) != WA_OK;
        for (size_t i = 0; i < count && !bad; i++) {
            char *full = wa__path_join(path, names[i]);
            bad = !full || replay(full);
            wa__free(full);
        }
        wa__os_list_free(names, count);
        return bad;
    }
    wa_map map;
    if (wa__os_map(path, &map, &err) != WA_OK) {
        fprintf(stderr, "replay: %s\n", err.message);
        return 1;
    }
    LLVMFuzzerTestOneInput(map.data ? map.data : (const uint8_t *)"", map.size);
    wa__os_unmap(&map);
    return 0;
}

int main(int argc, char **argv)
{
    int bad = argc < 2;
    for (int i = 1; i < argc; i++) bad |= replay(argv[i]);
    return bad;
}
