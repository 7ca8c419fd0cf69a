// What this adapter can do at best, as a page sees it: copying, multiply-adds, matrix units, the cost of a
// dispatch. A kernel's floor is made of these numbers.
import { Stopwatch } from './stopwatch.js';

const NEAR = 2 << 20, FAR = 128 << 20, SOFT_FAR = 32 << 20; // bytes read and again written
const LOOPS = 512;
const copyCode = `@group(0) @binding(0) var<storage, read> a: array<vec4u>; @group(0) @binding(1) var<storage, read_write> b: array<vec4u>;
@compute @workgroup_size(256) fn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) n: vec3u) {
  let i = g.x + g.y * n.x * 256u; if (i < arrayLength(&a)) { b[i] = a[i]; } }`;
// Eight independent chains of four lanes an invocation.
const fmaCode = (type, head) => `${head}@group(0) @binding(0) var<storage, read_write> o: array<f32>;
@compute @workgroup_size(256) fn main(@builtin(global_invocation_id) g: vec3u) {
  let s = vec4<${type}>(${type}(g.x & 7u)); let m = s * ${type}(0.125) + ${type}(0.5);
  ${[...Array(8).keys()].map(i => `var x${i} = s + ${type}(${i});`).join(' ')}
  for (var i = 0u; i < ${LOOPS}u; i++) { ${[...Array(8).keys()].map(i => `x${i} = fma(x${i}, m, s);`).join(' ')} }
  let r = ${[...Array(8).keys()].map(i => `x${i}`).join(' + ')};
  o[g.x & 1023u] = f32(r.x + r.y + r.z + r.w); }`;
const matrixCode = lanes => `diagnostic(off, chromium.subgroup_matrix_uniformity);
enable f16; enable chromium_experimental_subgroup_matrix;
@group(0) @binding(0) var<storage, read_write> o: array<f32>;
var<workgroup> s: array<f16, 256>;
@compute @workgroup_size(${lanes}) fn main(@builtin(local_invocation_index) l: u32) {
  for (var i = l; i < 256u; i += ${lanes}u) { s[i] = f16(0.01); }
  workgroupBarrier();
  let a = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>>(&s, 0u, false, 16u);
  let b = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>>(&s, 0u, false, 16u);
  ${[...Array(8).keys()].map(i => `var c${i}: subgroup_matrix_result<f32, 16, 16>;`).join(' ')}
  for (var i = 0u; i < ${LOOPS}u; i++) { ${[...Array(8).keys()].map(i => `c${i} = subgroupMatrixMultiplyAccumulate(a, b, c${i});`).join(' ')} }
  ${[...Array(8).keys()].map(i => `subgroupMatrixStore(&o, ${i * 256}u, c${i}, false, 16u);`).join(' ')} }`;

class Bench {
  constructor(device, watch) { Object.assign(this, { device, watch, buffers: [] }); }

  buffer(size) {
    const b = this.device.createBuffer({ size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST });
    this.buffers.push(b);
    return b;
  }

  destroy() { for (const b of this.buffers) b.destroy(); }

  async step(code, buffers, grid) {
    const pipeline = await this.device.createComputePipelineAsync({ layout: 'auto', compute: { module: this.device.createShaderModule({ code }), entryPoint: 'main' } });
    const group = this.device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })) });
    return { pipeline, group, grid };
  }

  // Bytes a second, read and written both counted.
  async copy(bytes) {
    const a = this.buffer(bytes), b = this.buffer(bytes), groups = bytes / 16 / 256, x = Math.min(groups, 32768);
    const step = await this.step(copyCode, [a, b], [x, Math.ceil(groups / x), 1]);
    const { us } = await this.watch.time([step], { rounds: 5 });
    a.destroy();
    b.destroy();
    return 2 * bytes / us * 1e6;
  }

  // Operations a second: as many workgroups as last 2 ms.
  async arithmetic(code, perGroup) {
    const out = this.buffer(8192), step = await this.step(code, [out], [16, 1, 1]);
    for (let k = 0; k < 6; k++) {
      const { us } = await this.watch.time([step], { rounds: 1, single: true });
      if (us > 1000 || step.grid[0] === 65535) break;
      step.grid[0] = Math.min(65535, Math.ceil(step.grid[0] * Math.min(32, 2000 / Math.max(us, 1))));
    }
    const { us } = await this.watch.time([step], { rounds: 5 });
    return step.grid[0] * perGroup / us * 1e6;
  }
}

// Numbers are null where the adapter has no such thing.
export async function floors(device, software, job) {
  const has = f => device.features.has(f), watch = await Stopwatch.create(device, software), b = new Bench(device, watch);
  const tryIt = async (wanted, f) => {
    if (!wanted || job.cancelled) return null;
    device.pushErrorScope('validation');
    let v = null;
    try { v = await f(); } catch { /* a feature that is listed and does not compile is not there */ }
    return await device.popErrorScope() ? null : v;
  };
  const perGroup = 256 * 8 * 4 * 2 * LOOPS, lanes = (device.adapterInfo && device.adapterInfo.subgroupMinSize) || 32;
  try {
    const tiny = await b.step(copyCode, [b.buffer(4096), b.buffer(4096)], [1, 1, 1]);
    const one = (await watch.time([tiny], { single: true, rounds: 15 })).us, ten = (await watch.time(Array(10).fill(tiny), { rounds: 9 })).us;
    return {
      pass_us: one, dispatch_us: ten / 10,
      near_bytes: NEAR * 2, near_bytes_per_s: await b.copy(NEAR), far_bytes: (software ? SOFT_FAR : FAR) * 2, far_bytes_per_s: await b.copy(software ? SOFT_FAR : FAR),
      f32_per_s: await b.arithmetic(fmaCode('f32', ''), perGroup),
      f16_per_s: await tryIt(has('shader-f16'), () => b.arithmetic(fmaCode('f16', 'enable f16;\n'), perGroup)),
      matrix_per_s: await tryIt(has('shader-f16') && has('chromium-experimental-subgroup-matrix'), () => b.arithmetic(matrixCode(lanes), 8 * 2 * 16 * 16 * 16 * LOOPS)),
      steady: watch.software || watch.best < Infinity,
    };
  } finally {
    b.destroy();
    watch.destroy();
  }
}
