/* Name, files and graph hints in, the model's type and why out. Called by api for run and inspect. */
#include "task/model_type.h"
#include "task/task_json.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

static const char embedding[] = "text_embedding", generation[] = "text_generation", text2text[] = "text2text";
static const char audio[] = "audio", vision[] = "vision", multimodal[] = "multimodal", plain[] = "text";

/* config.json's model_type, each list between spaces. */
static const struct { const char *type, *families; } families[] = {
    {embedding, " bert roberta xlm-roberta xlm-roberta-xl mpnet distilbert albert electra deberta deberta-v2 camembert xlm longformer "
                "big_bird ernie mobilebert squeezebert funnel nomic_bert modernbert eurobert new jina_bert megatron-bert roformer nezha "
                "rembert convbert flaubert fnet mra nystromformer yoso data2vec-text luke mluke "},
    {generation, " llama llama4_text gpt2 gpt_neo gpt_neox gptj gpt_bigcode gpt_oss openai-gpt qwen qwen2 qwen2_moe qwen3 qwen3_moe qwen3_next "
                 "phi phi3 phimoe mistral mixtral ministral falcon falcon_h1 falcon_mamba gemma gemma2 gemma3_text gemma3n_text bloom opt mpt stablelm "
                 "starcoder2 codegen cohere cohere2 deepseek deepseek_v2 deepseek_v3 granite granitemoe internlm internlm2 olmo olmo2 olmo3 "
                 "mamba mamba2 rwkv smollm3 baichuan chatglm glm glm4 glm4_moe exaone exaone4 xglm biogpt nemotron minicpm minicpm3 lfm2 jamba "
                 "ctrl transfo-xl xlnet persimmon dbrx arctic hunyuan_v1_dense ernie4_5 seed_oss bitnet "},
    {text2text, " t5 mt5 umt5 longt5 switch_transformers t5gemma bart mbart plbart pegasus pegasus_x marian m2m_100 nllb-moe blenderbot "
                "blenderbot-small led fsmt prophetnet bigbird_pegasus encoder-decoder mvp "},
    {audio, " whisper wav2vec2 wav2vec2-bert wav2vec2-conformer wavlm hubert clap audio-spectrogram-transformer speecht5 musicgen encodec "
            "unispeech unispeech-sat sew sew-d seamless_m4t seamless_m4t_v2 moonshine speech_to_text speech-encoder-decoder vits bark dac mimi "
            "univnet parakeet parakeet_ctc mctct data2vec-audio pop2piano kyutai_speech_to_text csm dia "},
    {vision, " vit vit_mae vit_msn vitdet clip clip_vision_model chinese_clip siglip siglip2 detr conditional_detr deformable_detr rt_detr rt_detr_v2 "
             "d_fine yolos convnext convnextv2 deit swin swinv2 beit dinov2 dinov2_with_registers dinov3_vit resnet regnet efficientnet mobilevit "
             "mobilevitv2 mobilenet_v1 mobilenet_v2 segformer maskformer mask2former oneformer sam sam2 dpt depth_anything glpn zoedepth levit cvt "
             "poolformer van bit owlvit owlv2 groupvit clipseg table-transformer upernet hiera ijepa swin2sr data2vec-vision timm_wrapper aimv2 "},
    {multimodal, " llava llava_next llava_next_video llava_onevision vipllava video_llava xclip blip blip-2 instructblip fuyu paligemma idefics idefics2 "
                 "idefics3 smolvlm qwen2_vl qwen2_5_vl qwen3_vl qwen2_audio qwen2_5_omni git kosmos-2 vilt flava bridgetower pix2struct florence2 "
                 "mllama llama4 gemma3 gemma3n phi3_v phi4_multimodal vision-encoder-decoder vision-text-dual-encoder internvl pixtral mistral3 "
                 "aya_vision chameleon janus emu3 molmo got_ocr2 donut-swin udop layoutlmv2 layoutlmv3 visual_bert lxmert align altclip moondream1 "},
};

static bool in_list(const char *list, const char *word)
{
    size_t n = strlen(word);
    if (n == 0 || strchr(word, ' ')) return false;
    for (const char *p = list; (p = strstr(p, word)) != NULL; p++)
        if (p[-1] == ' ' && p[n] == ' ') return true;
    return false;
}

static void set(wa_model_type *out, const char *type, const char *format, ...) WA_PRINTF(3, 4);
static void set(wa_model_type *out, const char *type, const char *format, ...)
{
    va_list ap;
    out->type = type;
    va_start(ap, format);
    vsnprintf(out->reason, sizeof out->reason, format, ap);
    va_end(ap);
}

/* --- config.json --------------------------------------------------------------------------------- */

static bool ends(const char *s, const char *suffix) { return wa__str_ends(wa__str(s), suffix); }

/* The head that the architecture's name ends with, for families that are not in the table and for
 * encoders whose head makes something else than an embedding. NULL: it tells nothing. */
static const char *by_head(const char *architecture)
{
    static const struct { const char *suffix, *type; } heads[] = {
        {"ForCausalLM", generation}, {"LMHeadModel", generation}, {"ForSequenceClassification", plain}, {"ForTokenClassification", plain},
        {"ForQuestionAnswering", plain}, {"ForMultipleChoice", plain}, {"ForImageClassification", vision}, {"ForObjectDetection", vision},
        {"ForSemanticSegmentation", vision}, {"ForDepthEstimation", vision}, {"ForAudioClassification", audio}, {"ForCTC", audio},
        {"ForSpeechSeq2Seq", audio}, {"ForVision2Seq", multimodal}, {"ForImageTextToText", multimodal},
    };
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (ends(architecture, heads[i].suffix)) return heads[i].type;
    return NULL;
}

static bool by_config(const json_t *config, wa_model_type *out)
{
    const char *family = json_string_value(json_object_get(config, "model_type"));
    const char *architecture = json_string_value(json_array_get(json_object_get(config, "architectures"), 0));
    const char *head = architecture ? by_head(architecture) : NULL;
    for (size_t i = 0; family && i < sizeof families / sizeof *families; i++) {
        if (!in_list(families[i].families, family)) continue;
        const char *type = families[i].type;
        if (type == embedding && (head == plain || head == generation))
            set(out, head, "config.json's architecture is %.80s", architecture);
        else if (type == generation && head == plain)
            set(out, plain, "config.json's architecture is %.80s", architecture);
        else
            set(out, type, "config.json's model_type is %.80s", family);
        return true;
    }
    if (head) set(out, head, "config.json's architecture is %.80s", architecture);
    return head != NULL;
}

/* --- the graph ----------------------------------------------------------------------------------- */

void wa__model_hint(wa_model_hints *h, wa_str tensor, bool is_output)
{
    if (is_output) {
        h->logits_output |= wa__str_is(tensor, "logits");
        return;
    }
    h->token_input |= wa__str_is(tensor, "input_ids");
    h->image_input |= wa__str_is(tensor, "pixel_values");
    h->audio_input |= wa__str_is(tensor, "input_features") || wa__str_is(tensor, "input_values");
    h->decoder_input |= wa__str_is(tensor, "decoder_input_ids");
    h->cache_input |= wa__str_starts(tensor, "past_key_values") || wa__str_starts(tensor, "past_key");
}

static bool by_hints(const wa_model_hints *h, wa_model_type *out)
{
    if (!h) return false;
    if (h->audio_input)
        set(out, audio, "the graph takes audio features");
    else if (h->image_input && h->token_input && (h->logits_output || h->cache_input))
        set(out, multimodal, "the graph takes images and token ids and gives logits");
    else if (h->image_input)
        set(out, vision, "the graph takes pixel values");
    else if (h->decoder_input)
        set(out, text2text, "the graph takes decoder_input_ids");
    else if (h->token_input && h->cache_input)
        set(out, generation, "the graph takes token ids and a key-value cache");
    else if (h->token_input && !h->logits_output)
        set(out, embedding, "the graph takes token ids and gives no logits");
    else
        return false; /* logits alone: a classifier or a generator; the name may know */
    return true;
}

/* --- the name ------------------------------------------------------------------------------------ */

/* Anywhere; at the start of a run of letters; a whole run of letters; anywhere, START, but no digit after. */
typedef enum match { ANY, START, WORD, ANY_NUMBER, START_NUMBER } match;

/* First match wins: what names a modality stands before the language model inside it. */
static const struct { match how; const char *text, *type; } names[] = {
    {ANY, "llava", multimodal}, {ANY, "xclip", multimodal}, {WORD, "blip", multimodal}, {ANY, "instructblip", multimodal},
    {WORD, "fuyu", multimodal}, {ANY, "paligemma", multimodal}, {ANY, "idefics", multimodal}, {ANY, "smolvlm", multimodal},
    {ANY, "internvl", multimodal}, {WORD, "vl", multimodal}, {WORD, "vlm", multimodal}, {WORD, "florence", multimodal},
    {WORD, "kosmos", multimodal}, {WORD, "moondream", multimodal}, {WORD, "captioning", multimodal}, {WORD, "donut", multimodal},
    {ANY, "whisper", audio}, {ANY, "wav2vec", audio}, {WORD, "wavlm", audio}, {WORD, "hubert", audio}, {WORD, "clap", audio},
    {WORD, "audio", audio}, {WORD, "speech", audio}, {ANY, "speecht5", audio}, {ANY, "musicgen", audio}, {WORD, "moonshine", audio},
    {WORD, "vit", vision}, {WORD, "clip", vision}, {WORD, "siglip", vision}, {WORD, "detr", vision}, {ANY, "dino", vision},
    {WORD, "convnext", vision}, {WORD, "resnet", vision}, {WORD, "deit", vision}, {WORD, "swin", vision}, {WORD, "beit", vision},
    {START, "yolo", vision}, {START, "segformer", vision}, {WORD, "image", vision},
    {START, "sentence", embedding}, {START, "embed", embedding}, {WORD, "bge", embedding}, {WORD, "gte", embedding}, {WORD, "gtr", embedding},
    {START_NUMBER, "e5", embedding}, {ANY, "minilm", embedding}, {ANY, "mpnet", embedding},
    {ANY_NUMBER, "t5", text2text}, {ANY, "bart", text2text}, {WORD, "pegasus", text2text}, {WORD, "opus", text2text}, {WORD, "marian", text2text},
    {WORD, "nllb", text2text}, {ANY, "llama", generation}, {ANY, "gpt", generation}, {START, "qwen", generation}, {WORD, "phi", generation},
    {ANY, "mistral", generation}, {ANY, "mixtral", generation}, {WORD, "gemma", generation}, {WORD, "falcon", generation},
    {WORD, "dolphin", generation}, {WORD, "bloom", generation}, {WORD, "opt", generation}, {ANY, "deepseek", generation},
    {ANY, "smollm", generation}, {ANY, "starcoder", generation}, {WORD, "olmo", generation}, {WORD, "granite", generation},
    {ANY, "roberta", embedding}, {ANY, "bert", embedding}, {WORD, "albert", embedding}, {WORD, "electra", embedding},
};

static bool letter(char c) { return isalpha((unsigned char)c) != 0; }

static bool found(const char *name, const char *text, match how)
{
    size_t n = strlen(text);
    for (const char *p = name; (p = strstr(p, text)) != NULL; p++) {
        if (how != ANY && how != ANY_NUMBER && p > name && letter(p[-1])) continue;
        if (how == WORD && letter(p[n])) continue;
        if (how >= ANY_NUMBER && isdigit((unsigned char)p[n])) continue;
        return true;
    }
    return false;
}

static void by_name(const char *name, wa_model_type *out)
{
    char low[512];
    const char *base = name;
    size_t n = strlen(base);
    if (n >= sizeof low) base += n - (sizeof low - 1);
    for (n = 0; base[n]; n++) low[n] = (char)tolower((unsigned char)base[n]);
    low[n] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!found(low, names[i].text, names[i].how)) continue;
        set(out, names[i].type, "the name contains \"%s\"", names[i].text);
        return;
    }
    set(out, plain, "neither its files nor its name say more");
}

wa_status wa__model_type_detect(const char *name, const char *asked, const wa_task_files *files, const wa_model_hints *hints,
                                wa_model_type *out, wa_error *err)
{
    static const char *const types[] = {embedding, generation, text2text, audio, vision, multimodal, plain};
    if (asked && *asked) {
        for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
            if (strcmp(types[i], asked) != 0) continue;
            set(out, types[i], "it was asked for");
            return WA_OK;
        }
        return wa__fail(err, WA_INVALID_ARGUMENT, "model type \"%.60s\" is not known; use text_embedding, text_generation, text2text, "
                                                  "audio, vision, multimodal or text", asked);
    }
    if (files && wa__task_file(files, "modules.json")) {
        set(out, embedding, "modules.json makes it a sentence-transformers model");
        return WA_OK;
    }
    const wa_task_file *config = files ? wa__task_file(files, "config.json") : NULL;
    if (config) {
        json_t *j = NULL;
        WA_TRY(wa__task_json(config->data, (size_t)config->size, "config.json", &j, err));
        bool known = by_config(j, out);
        json_decref(j);
        if (known) return WA_OK;
    }
    if (!by_hints(hints, out)) by_name(name ? name : "", out);
    return WA_OK;
}
