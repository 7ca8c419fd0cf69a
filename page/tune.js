// Times one kernel's candidates side by side: the same buffers, params and grid as the plan has, the clock
// proven (stopwatch.js). A candidate that does not give what the first one gives is no candidate.
import { Stopwatch } from './stopwatch.js';

const COMPARED = 64 << 10; // bytes of the output
const FILL = `@group(0) @binding(0) var<storage, read_write> o: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) n: vec3u) {
  let stride = n.x * 64u;
  for (var i = g.x; i < arrayLength(&o); i += stride) { o[i] = 0x3c003800u | (((i * 2654435761u) >> 7u) & 0x00ff00ffu); } }`;
// As f32 those words are 0.008 to 0.03, as pairs of f16 1 to 1.25 and 0.5 to 0.63: sums stay in range.

class Tuner {
  constructor(runtime, watch, job) { Object.assign(this, { runtime, watch, job, device: runtime.device, buffers: [] }); }

  destroy() { for (const b of this.buffers) b.destroy(); }

  buffer(size, usage) {
    const b = this.device.createBuffer({ size, usage });
    this.buffers.push(b);
    return b;
  }

  // As many sets of buffers as the model has such products, so that weights come from where they do in it.
  async sets({ sizes, words, copies, write_mask }) {
    const U = GPUBufferUsage, all = [];
    const pipeline = await this.device.createComputePipelineAsync({ layout: 'auto', compute: { module: this.device.createShaderModule({ code: FILL }), entryPoint: 'main' } });
    const params = words.length ? this.buffer((words.length * 4 + 15) & ~15, U.UNIFORM | U.COPY_DST) : null;
    if (params) this.device.queue.writeBuffer(params, 0, new Uint32Array(words));
    const e = this.device.createCommandEncoder(), pass = e.beginComputePass();
    pass.setPipeline(pipeline);
    for (let c = 0; c < copies; c++) {
      const set = sizes.map(size => this.buffer(size, U.STORAGE | U.COPY_SRC | U.COPY_DST));
      set.forEach((buffer, i) => {
        if (write_mask >> i & 1) return;
        pass.setBindGroup(0, this.device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer } }] }));
        pass.dispatchWorkgroups(Math.max(1, Math.min(4096, sizes[i] >> 10)));
      });
      all.push({ set, params });
    }
    pass.end();
    this.device.queue.submit([e.finish()]);
    return all;
  }

  // {pipeline, steps} of a candidate.
  async make(shape, sets, candidate) {
    const layout = this.runtime.layout(shape.sizes.length, shape.write_mask, shape.words.length > 0);
    const module = this.device.createShaderModule({ code: candidate.code });
    const pipeline = await this.device.createComputePipelineAsync({ layout: layout.pipeline, compute: { module, entryPoint: 'main' } });
    const steps = sets.map(({ set, params }) => {
      const entries = set.map((buffer, binding) => ({ binding, resource: { buffer } }));
      if (params) entries.push({ binding: set.length, resource: { buffer: params } });
      return { pipeline, group: this.device.createBindGroup({ layout: layout.group, entries }), grid: candidate.grid };
    });
    return steps;
  }

  // The start of the written buffer after one go, zeroed before.
  async output(steps, sets, shape) {
    const at = shape.sizes.findIndex((_, i) => shape.write_mask >> i & 1), n = Math.min(COMPARED, shape.sizes[at]);
    const back = this.device.createBuffer({ size: n, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const e = this.device.createCommandEncoder();
    e.clearBuffer(sets[0].set[at]);
    const pass = e.beginComputePass();
    pass.setPipeline(steps[0].pipeline);
    pass.setBindGroup(0, steps[0].group);
    pass.dispatchWorkgroups(...steps[0].grid);
    pass.end();
    e.copyBufferToBuffer(sets[0].set[at], 0, back, 0, n);
    this.device.queue.submit([e.finish()]);
    await back.mapAsync(GPUMapMode.READ);
    const out = back.getMappedRange().slice(0);
    back.destroy();
    return out;
  }
}

// f16: the output is read as halves. Large sums of many terms differ by their order: a thousandth is allowed.
function differs(a, b, half) {
  const view = x => half ? new Uint16Array(x) : new Float32Array(x), x = view(a), y = view(b);
  const value = h => ((h & 0x8000 ? -1 : 1) * ((h >> 10 & 31) ? 2 ** ((h >> 10 & 31) - 15) * (1 + (h & 1023) / 1024) : 2 ** -14 * (h & 1023) / 1024));
  for (let i = 0; i < x.length; i++) {
    const p = half ? value(x[i]) : x[i], q = half ? value(y[i]) : y[i];
    if (!(Math.abs(p - q) <= (half ? 4e-3 : 1e-3) * Math.max(Math.abs(p), Math.abs(q), 1e-3))) return true;
  }
  return false;
}

// shape: {sizes, write_mask, words, copies, half}; candidates: [{code, grid}], the first is what they are compared
// with. Stops after limit_ms. [{us, steady} or {error}] for as many as were reached.
export async function tune(runtime, { shape, candidates, limit_ms: limit }, job) {
  const start = performance.now(), { device } = runtime, watch = await runtime.stopwatch(), t = new Tuner(runtime, watch, job), results = [];
  const together = runtime.software ? 1 : 4; // compiled: a software adapter does it on the same cores
  const over = () => job.cancelled || performance.now() - start > limit;
  try {
    const sets = await t.sets(shape);
    const kept = []; // steps of those that have a time
    let first = null, best = Infinity;
    for (let i = 0; i < candidates.length && !(i > 0 && over()); i += together) {
      const made = await Promise.all(candidates.slice(i, i + together).map(c => t.make(shape, sets, c).catch(e => String(e.message || e))));
      for (const steps of made) {
        if (results.length && over()) break;
        if (typeof steps === 'string') { results.push({ error: steps.slice(0, 150) }); continue; }
        device.pushErrorScope('validation');
        const out = await t.output(steps, sets, shape).catch(e => e);
        const invalid = await device.popErrorScope();
        if (invalid || out instanceof Error) { results.push({ error: String((invalid || out).message).slice(0, 150) }); continue; }
        if (first && differs(first, out, shape.half)) { results.push({ error: 'its results differ from the default kernel\'s' }); continue; }
        first = first || out;
        let { us, steady } = await watch.time(steps, { rounds: 1, job, until: start + limit });
        if (us < best * 1.25 * steps.length) ({ us, steady } = await watch.time(steps, { rounds: 5, job, until: start + limit }));
        us /= steps.length;
        best = Math.min(best, us);
        kept[results.length] = steps;
        results.push({ us, steady });
      }
    }
    // What disturbed one of them only must not decide: the default and the winner once more, in turn.
    const winner = results.findIndex(r => r.us === best);
    for (const i of winner > 0 && results[0].us > 0 ? [0, winner, 0, winner] : []) {
      const { us } = await watch.time(kept[i], { rounds: 3, job });
      results[i].us = Math.min(results[i].us, us / kept[i].length);
    }
  } finally {
    t.destroy();
  }
  return { meta: { results } };
}
