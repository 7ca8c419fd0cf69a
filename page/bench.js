// The small-run benchmark: 1 KiB in, 10 dependent dispatches, 4 KiB read back, with our way of learning
// of completion and with plain mapAsync; and the upload of a weight, HTTP to GPU buffer.
import { settle } from './settle.js';
import { stream, JobError } from './upload.js';
import { floors } from './floors.js';
import { tune } from './tune.js';

const DISPATCHES = 10, READ = 4096;
const code = `@group(0) @binding(0) var<storage, read> a: array<f32>; @group(0) @binding(1) var<storage, read_write> b: array<f32>;
@compute @workgroup_size(128) fn main(@builtin(global_invocation_id) g: vec3u) { b[g.x] = a[g.x] * 1.5 + b[g.x]; }`;

const median = t => t.sort((x, y) => x - y)[t.length >> 1];
const p90 = t => t[Math.min(t.length - 1, Math.floor(t.length * 0.9))];

async function smallRuns(device, runs, job) {
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const a = device.createBuffer({ size: 1 << 18, usage }), b = device.createBuffer({ size: 1 << 18, usage });
  const r = device.createBuffer({ size: READ, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module: device.createShaderModule({ code }), entryPoint: 'main' } });
  const bind = (x, y) => device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer: x } }, { binding: 1, resource: { buffer: y } }] });
  const groups = [bind(a, b), bind(b, a)], input = new Uint8Array(1024);
  const once = async kicked => {
    const start = performance.now();
    device.queue.writeBuffer(a, 0, input);
    const e = device.createCommandEncoder(), pass = e.beginComputePass();
    pass.setPipeline(pipeline);
    for (let i = 0; i < DISPATCHES; i++) {
      pass.setBindGroup(0, groups[i & 1]);
      pass.dispatchWorkgroups(16);
    }
    pass.end();
    e.copyBufferToBuffer(a, 0, r, 0, READ);
    device.queue.submit([e.finish()]);
    const mapped = r.mapAsync(GPUMapMode.READ);
    if (kicked) await settle(device, mapped, 0, () => false);
    else await mapped;
    new Uint8Array(r.getMappedRange()).slice();
    r.unmap();
    return performance.now() - start;
  };
  const series = async (kicked, n) => {
    const t = [];
    // A browser that has just started is busy with itself for a second or two.
    for (const end = performance.now() + 1500; performance.now() < end && !job.cancelled;) await once(kicked);
    for (let i = 0; i < n && !job.cancelled; i++) t.push(await once(kicked));
    return t;
  };
  const ours = await series(true, runs), plain = await series(false, Math.min(runs, 20));
  for (const buffer of [a, b, r]) buffer.destroy();
  return { ours_ms: median(ours), ours_p90_ms: p90(ours), plain_ms: median(plain), plain_p90_ms: p90(plain), ours_min_ms: ours[0], plain_min_ms: plain[0] };
}

// Rates in GB/s, the best of a few: HTTP to GPU buffer as weights go, and the fetching alone.
async function upload(device, { path, bytes }, job) {
  const ROUNDS = 3, LANES = 2, buffer = device.createBuffer({ size: bytes, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST });
  const rate = async take => {
    const start = performance.now();
    await Promise.all(Array.from({ length: LANES }, (_, i) => stream(path, i * bytes / LANES, bytes / LANES, job, take)));
    await settle(device, device.queue.onSubmittedWorkDone(), 0, () => false);
    return bytes / (performance.now() - start) / 1e6;
  };
  const out = { upload_gbps: 0, fetch_gbps: 0 };
  for (let i = 0; i < ROUNDS && !job.cancelled; i++) {
    out.upload_gbps = Math.max(out.upload_gbps, await rate((block, at) => { device.queue.writeBuffer(buffer, at, block); return block.length; }));
    out.fetch_gbps = Math.max(out.fetch_gbps, await rate(block => block.length));
  }
  buffer.destroy();
  return out;
}

export async function bench(runtime, meta, job) {
  if (meta.what && !runtime.timestamps) throw new JobError('UNSUPPORTED', 'this adapter has no timestamp queries: kernels cannot be measured');
  if (meta.what === 'floors') return { meta: await floors(runtime.device, runtime.software, job) };
  if (meta.what === 'tune') return tune(runtime, meta, job);
  const out = await smallRuns(runtime.device, meta.runs, job);
  Object.assign(out, await upload(runtime.device, meta.upload, job));
  out.runs = meta.runs;
  return { meta: out };
}
