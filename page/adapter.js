// Finds the adapter and its device, and says honestly what it is.
import { settle } from './settle.js';

const LIMITS = ['maxBufferSize', 'maxStorageBufferBindingSize', 'maxComputeWorkgroupStorageSize', 'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX', 'maxComputeWorkgroupSizeY', 'maxComputeWorkgroupSizeZ', 'maxStorageBuffersPerShaderStage'];
const FEATURES = ['shader-f16', 'subgroups', 'timestamp-query', 'chromium-experimental-subgroup-matrix'];

// What is no feature of a device but is told as one: f16 matrices in 16x16x16 with f16 and with f32 sums, in subgroups
// that have 32 lanes always (what the kernels over tiles are written for); packed dot products.
function derived(device, info) {
  const matrix = sums => c => c.componentType === 'f16' && c.resultComponentType === sums && c.M === 16 && c.N === 16 && c.K === 16;
  const configs = device.features.has('chromium-experimental-subgroup-matrix') ? Array.from(info.subgroupMatrixConfigs || []) : [];
  const dots = Boolean(navigator.gpu.wgslLanguageFeatures && navigator.gpu.wgslLanguageFeatures.has('packed_4x8_integer_dot_product'));
  return [...(info.subgroupMinSize === 32 && info.subgroupMaxSize === 32 && ['f16', 'f32'].every(sums => configs.some(matrix(sums))) ? ['subgroup-matrix-f16'] : []), ...(dots ? ['packed-dot'] : [])];
}
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|microsoft basic render|\bwarp\b|software/i;
// A browser may name nothing (Firefox). Then the adapter's own speed decides: f32 multiply-adds per
// second for each of the machine's hardware threads. A CPU thread under a software driver gives 1 to
// 20 Gflop/s; the weakest GPUs in use give 50 and more for each thread of the CPU beside them.
const HARDWARE_GFLOPS_PER_THREAD = 30;

const within = (ms, what, promise) => Promise.race([promise, new Promise((_, no) => setTimeout(() => no(new Error(`${what} did not answer in ${ms / 1000} s`)), ms))]);

async function measure(device) {
  const code = `@group(0) @binding(0) var<storage, read_write> o: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) n: vec3u) {
  var x = vec4f(f32(g.x)); let m = vec4f(1.0001, 0.9999, 1.0002, 0.9998);
  for (var i = 0u; i < 256u; i++) { x = fma(x, m, m.yzwx); x = fma(x, m.wzyx, m); }
  o[g.x & 1023u] = x.x + x.y + x.z + x.w; }`;
  const out = device.createBuffer({ size: 4096, usage: GPUBufferUsage.STORAGE });
  const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module: device.createShaderModule({ code }), entryPoint: 'main' } });
  const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer: out } }] });
  const time = async groups => {
    const start = performance.now(), e = device.createCommandEncoder(), pass = e.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(groups);
    pass.end();
    device.queue.submit([e.finish()]);
    await settle(device, device.queue.onSubmittedWorkDone(), 0, () => false);
    return performance.now() - start;
  };
  await time(16);
  let gflops = 0;
  for (let groups = 256; groups <= 65535; groups = Math.min(groups * 8, groups === 65535 ? 65536 : 65535)) {
    const a = await time(groups >> 2), b = await time(groups);
    gflops = (groups - (groups >> 2)) * 64 * 256 * 16 / Math.max(b - a, 0.02) / 1e6;
    if (b > 15) break; // long enough that starting it does not count
  }
  out.destroy();
  return gflops;
}

async function classify(adapter, device, info) {
  const name = [info.vendor, info.architecture, info.device, info.description].join(' ').trim();
  if (adapter.isFallbackAdapter || info.isFallbackAdapter) return { software: true, software_reason: 'the browser calls it a fallback adapter' };
  if (SOFTWARE.test(name)) return { software: true, software_reason: `its name: ${name}` };
  if (name) return { software: false, software_reason: `its name: ${name}` };
  const gflops = await measure(device), each = gflops / Math.max(1, navigator.hardwareConcurrency || 1);
  const software = each < HARDWARE_GFLOPS_PER_THREAD;
  return { software, measured_gflops: gflops,
    software_reason: `the browser names no adapter; it measured ${gflops.toFixed(0)} Gflop/s, ${each.toFixed(1)} a CPU thread, as ${software ? 'software' : 'hardware'} does` };
}

async function request(adapter, features) {
  const requiredLimits = {};
  for (const k of LIMITS) if (typeof adapter.limits[k] === 'number') requiredLimits[k] = adapter.limits[k];
  return within(30000, 'requestDevice', adapter.requestDevice({ requiredFeatures: features, requiredLimits }));
}

// {device, info, hello}; device is null when there is none, hello.error then says why.
export async function findAdapter() {
  const start = performance.now(), hello = { webgpu: Boolean(navigator.gpu), features: [], limits: {}, adapter: {} };
  const fail = error => ({ device: null, hello: { ...hello, error, adapter_ms: performance.now() - start } });
  if (!navigator.gpu) return fail('navigator.gpu is missing: this browser has WebGPU turned off');
  try {
    const adapter = await within(30000, 'requestAdapter', navigator.gpu.requestAdapter({ powerPreference: 'high-performance' }));
    if (!adapter) return fail('requestAdapter gave null: the browser offers no adapter here');
    const info = adapter.info || {};
    const features = FEATURES.filter(f => adapter.features.has(f));
    let device;
    try {
      device = await request(adapter, features);
    } catch (e) {
      device = await request(adapter, features.filter(f => !f.startsWith('chromium-')));
    }
    hello.features = [...FEATURES.filter(f => device.features.has(f)), ...derived(device, info)];
    for (const k of LIMITS) hello.limits[k] = device.limits[k];
    hello.adapter = { vendor: info.vendor || '', architecture: info.architecture || '', device: info.device || '', description: info.description || '',
      fallback: Boolean(adapter.isFallbackAdapter || info.isFallbackAdapter) };
    Object.assign(hello.adapter, await classify(adapter, device, info));
    hello.adapter_ms = performance.now() - start;
    return { device, hello };
  } catch (e) {
    return fail(String(e.message || e));
  }
}
