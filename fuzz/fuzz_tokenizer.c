/* tokenizer.json (or, after a first byte of 0x00, vocab.txt) read from bytes, then a fixed text encoded. */
#include "task/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char words[] = "The quick brown fox [CLS] jumps\xc3\xa9 over \xe4\xbd\xa0\xe5\xa5\xbd, \xff<mask> e\xcc\x81\xcc\xa7 1234!";
    wa_str text = {words, sizeof words - 1}, pair = WA_STR("a pair [SEP] of it");
    wa_task_file file = {WA_STR("tokenizer.json"), data, size};
    wa_tokenizer *t = NULL;
    wa_encoding e = {0};
    wa_error err;
    wa_status s;
    if (size && data[0] == 0) {
        file = (wa_task_file){WA_STR("vocab.txt"), data + 1, size - 1};
        s = wa__tokenizer_from_vocab(&file, NULL, &t, &err);
    } else {
        s = wa__tokenizer_from_json(&file, &t, &err);
    }
    if (s != WA_OK) return 0;
    if (wa__tokenizer_encode(t, text, NULL, 0, &e, &err) == WA_OK) wa__encoding_done(&e);
    if (wa__tokenizer_encode(t, text, &pair, 8, &e, &err) == WA_OK) wa__encoding_done(&e);
    if (wa__tokenizer_encode(t, (wa_str){(const char *)data, size < 200 ? size : 200}, NULL, UINT32_MAX, &e, &err) == WA_OK) wa__encoding_done(&e);
    wa__tokenizer_free(t);
    return 0;
}
