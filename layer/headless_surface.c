/* A Vulkan implicit layer that lends a driver the name of VK_EXT_headless_surface. Chromium's GL
 * start-up on Vulkan asks for that extension before anything else, and NVIDIA's headless server
 * driver lacks it; a page that only computes never makes the surface. So the layer's manifest
 * advertises the extension, the layer takes it out of what the driver is asked for, and making such
 * a surface is refused. In: Vulkan calls from the loader. Out: the same, less that one name. Loaded
 * only into browsers that webaccel starts (src/browser/browser_flags.c writes the manifest). */
#include <stdlib.h>
#include <string.h>
#include <vulkan/vulkan.h>
#include <vulkan/vk_layer.h>

#define INSTANCES_MAX 64u /* a GPU process makes two or three */

/* The next element's lookup, per instance: ANGLE and Dawn each make one. Calls on different
 * instances may come from different threads, so slots are taken and freed atomically. */
typedef struct slot {
    void *instance;
    PFN_vkGetInstanceProcAddr next;
    PFN_vkDestroyInstance destroy;
} slot;
static slot slots[INSTANCES_MAX];
static int slots_busy;

static void slots_lock(void)
{
    while (__atomic_exchange_n(&slots_busy, 1, __ATOMIC_ACQUIRE)) {
    }
}
static void slots_unlock(void) { __atomic_store_n(&slots_busy, 0, __ATOMIC_RELEASE); }

static slot slot_find(void *instance)
{
    slot found = {0};
    slots_lock();
    for (unsigned i = 0; instance && i < INSTANCES_MAX; i++)
        if (slots[i].instance == instance) found = slots[i];
    slots_unlock();
    return found;
}

/* Replaces the entry of `was` (NULL: a free one) by s. */
static int slot_put(void *was, slot s)
{
    int done = 0;
    slots_lock();
    for (unsigned i = 0; i < INSTANCES_MAX && !done; i++)
        if (slots[i].instance == was) {
            slots[i] = s;
            done = 1;
        }
    slots_unlock();
    return done;
}

/* The loader's link in the create-info chain; it must be advanced for the next layer. */
static VkLayerInstanceCreateInfo *chain_link(const VkInstanceCreateInfo *info)
{
    for (const VkBaseInStructure *s = info->pNext; s; s = s->pNext) {
        if (s->sType != VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO) continue;
        VkLayerInstanceCreateInfo *l = (VkLayerInstanceCreateInfo *)(uintptr_t)s;
        if (l->function == VK_LAYER_LINK_INFO && l->u.pLayerInfo) return l;
    }
    return NULL;
}

static VKAPI_ATTR VkResult VKAPI_CALL layer_create_instance(const VkInstanceCreateInfo *info, const VkAllocationCallbacks *memory,
                                                            VkInstance *instance)
{
    VkLayerInstanceCreateInfo *l = chain_link(info);
    if (!l) return VK_ERROR_INITIALIZATION_FAILED;
    PFN_vkGetInstanceProcAddr next = l->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    l->u.pLayerInfo = l->u.pLayerInfo->pNext;
    PFN_vkCreateInstance create = (PFN_vkCreateInstance)next(VK_NULL_HANDLE, "vkCreateInstance");
    if (!create) return VK_ERROR_INITIALIZATION_FAILED;

    VkInstanceCreateInfo passed = *info;
    const char **kept = calloc((size_t)info->enabledExtensionCount + 1, sizeof *kept);
    if (!kept) return VK_ERROR_OUT_OF_HOST_MEMORY;
    passed.enabledExtensionCount = 0;
    passed.ppEnabledExtensionNames = kept;
    for (uint32_t i = 0; i < info->enabledExtensionCount; i++) {
        const char *name = info->ppEnabledExtensionNames[i];
        if (strcmp(name, VK_EXT_HEADLESS_SURFACE_EXTENSION_NAME)) kept[passed.enabledExtensionCount++] = name;
    }
    VkResult r = create(&passed, memory, instance);
    free(kept);
    if (r != VK_SUCCESS) return r;

    slot s = {*instance, next, (PFN_vkDestroyInstance)next(*instance, "vkDestroyInstance")};
    if (slot_put(NULL, s)) return VK_SUCCESS;
    if (s.destroy) s.destroy(*instance, memory);
    return VK_ERROR_TOO_MANY_OBJECTS;
}

static VKAPI_ATTR void VKAPI_CALL layer_destroy_instance(VkInstance instance, const VkAllocationCallbacks *memory)
{
    slot s = slot_find(instance);
    if (!s.instance) return;
    (void)slot_put(instance, (slot){0});
    if (s.destroy) s.destroy(instance, memory);
}

static VKAPI_ATTR VkResult VKAPI_CALL layer_create_surface(VkInstance instance, const VkHeadlessSurfaceCreateInfoEXT *info,
                                                           const VkAllocationCallbacks *memory, VkSurfaceKHR *surface)
{
    (void)instance, (void)info, (void)memory, (void)surface;
    return VK_ERROR_FEATURE_NOT_PRESENT;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL layer_lookup(VkInstance instance, const char *name)
{
    if (!strcmp(name, "vkGetInstanceProcAddr")) return (PFN_vkVoidFunction)layer_lookup;
    if (!strcmp(name, "vkCreateInstance")) return (PFN_vkVoidFunction)layer_create_instance;
    if (!strcmp(name, "vkDestroyInstance")) return (PFN_vkVoidFunction)layer_destroy_instance;
    if (!strcmp(name, "vkCreateHeadlessSurfaceEXT")) return (PFN_vkVoidFunction)layer_create_surface;
    slot s = slot_find(instance);
    return s.next ? s.next(instance, name) : NULL;
}

/* The loader's first call. Device calls do not pass through here. */
__attribute__((visibility("default"))) VKAPI_ATTR VkResult VKAPI_CALL
vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *wanted)
{
    if (!wanted || wanted->sType != LAYER_NEGOTIATE_INTERFACE_STRUCT) return VK_ERROR_INITIALIZATION_FAILED;
    if (wanted->loaderLayerInterfaceVersion < 2) return VK_ERROR_INITIALIZATION_FAILED;
    wanted->loaderLayerInterfaceVersion = 2;
    wanted->pfnGetInstanceProcAddr = layer_lookup;
    wanted->pfnGetDeviceProcAddr = NULL;
    wanted->pfnGetPhysicalDeviceProcAddr = NULL;
    return VK_SUCCESS;
}
