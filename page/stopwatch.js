// Times work on the GPU by timestamp queries. A GPU that idled takes 10 to 350 ms to bring its clock up and
// reads up to 3.5 times slow until then, so every timed pass stands behind arithmetic in the same submit, and
// a fixed chain of dependent multiply-adds before and after it proves the clock: where the chain is slower
// than its best, the pass does not count. A software adapter has no clock of its own, and timestamps that a
// browser rounds prove none: there passes count as they are, in the second case longer ones.
import { settle } from './settle.js';

const code = n => `@group(0) @binding(0) var<storage, read_write> o: array<f32>;
@compute @workgroup_size(256) fn main(@builtin(global_invocation_id) g: vec3u) {
  var x = o[g.x & 255u]; let a = o[1];
  for (var i = 0u; i < ${n}u; i++) { x = fma(x, a, 0.25); }
  o[g.x & 255u] = x; }`;
const CHAIN = 20000, CHAIN_LEAST_US = 10; // 40 us at 2 GHz
const WARM_US = 1000, TRIES = 60;
const EXACT_US = 300, COARSE_US = 10000; // what a pass lasts at least; browsers may round timestamps to 100 us

const median = list => list.slice().sort((x, y) => x - y)[list.length >> 1];

export class Stopwatch {
  static async create(device, software) {
    const s = Object.assign(new Stopwatch(), { device, software, best: Infinity, warm: 1, least: EXACT_US, proves: !software });
    const U = GPUBufferUsage;
    s.set = device.createQuerySet({ type: 'timestamp', count: 6 });
    s.resolve = device.createBuffer({ size: 256, usage: U.QUERY_RESOLVE | U.COPY_SRC });
    s.back = device.createBuffer({ size: 256, usage: U.MAP_READ | U.COPY_DST });
    s.out = device.createBuffer({ size: 1024, usage: U.STORAGE | U.COPY_DST });
    device.queue.writeBuffer(s.out, 0, new Float32Array(256).fill(0.5));
    const module = device.createShaderModule({ code: code(software ? 4 : CHAIN) });
    s.pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint: 'main' } });
    s.group = device.createBindGroup({ layout: s.pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer: s.out } }] });
    await s.calibrate();
    return s;
  }

  destroy() { for (const x of [this.set, this.resolve, this.back, this.out]) x.destroy(); }

  // So many workgroups of arithmetic fill the adapter for WARM_US; and whether timestamps are rounded.
  async calibrate() {
    if (this.software) return;
    for (let k = 0; k < 8; k++) {
      const { before, pass } = await this.once(e => this.encode(e, this.warm, 2));
      this.learn(before);
      if (pass > WARM_US / 2) break;
      this.warm = Math.min(65535, Math.ceil(this.warm * Math.min(64, WARM_US / Math.max(pass, 1))));
    }
    const seen = [];
    for (let k = 0; k < 6; k++) seen.push((await this.once(e => this.encode(e, 1, 2))).ns);
    if (seen.flat().every(t => t % 65536n === 0n || t % 100000n === 0n)) [this.least, this.proves] = [COARSE_US, false];
  }

  // The chain's best time so far; what no clock can do is a slip of the queries.
  learn(us) { if (us > CHAIN_LEAST_US) this.best = Math.min(this.best, us); }

  // The chain on `groups` workgroups in a pass of its own, timestamped from query `at` on when given.
  encode(encoder, groups, at) {
    const pass = encoder.beginComputePass(at === undefined ? {} : { timestampWrites: { querySet: this.set, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 } });
    pass.setPipeline(this.pipeline);
    pass.setBindGroup(0, this.group);
    pass.dispatchWorkgroups(groups);
    pass.end();
  }

  // Arithmetic to stand in front of something that others time.
  warmUp(encoder) { if (!this.software) this.encode(encoder, this.warm); }

  async once(body) {
    const { device } = this, e = device.createCommandEncoder();
    this.warmUp(e);
    this.encode(e, 1, 0);
    body(e);
    this.encode(e, 1, 4);
    e.resolveQuerySet(this.set, 0, 6, this.resolve, 0);
    e.copyBufferToBuffer(this.resolve, 0, this.back, 0, 48);
    device.queue.submit([e.finish()]);
    await settle(device, this.back.mapAsync(GPUMapMode.READ, 0, 48), 0, () => false);
    const t = [...new BigUint64Array(this.back.getMappedRange(0, 48).slice(0))];
    this.back.unmap();
    const us = i => Number(t[i + 1] - t[i]) / 1e3;
    return { before: us(0), pass: us(2), after: us(4), ns: t };
  }

  // Microseconds of one go through `steps` [{pipeline, group, grid}], the median of `rounds` passes of as many goes
  // as a pass needs to be told apart; `single`: one go a pass. {us, steady}: steady once the clock was proven.
  // No new pass begins after `until`.
  async time(steps, { rounds = 5, single = false, job = null, until = Infinity } = {}) {
    const go = reps => this.once(e => {
      const pass = e.beginComputePass({ timestampWrites: { querySet: this.set, beginningOfPassWriteIndex: 2, endOfPassWriteIndex: 3 } });
      let last = null;
      for (let i = 0; i < reps; i++) for (const s of steps) {
        if (s.pipeline !== last) pass.setPipeline(last = s.pipeline);
        pass.setBindGroup(0, s.group);
        pass.dispatchWorkgroups(...s.grid);
      }
      pass.end();
    });
    let reps = 1;
    const first = await go(1);
    if (!single && first.pass < this.least) reps = Math.min(1000, Math.ceil(this.least / Math.max(first.pass, 1)));
    const good = [], all = [];
    for (let tries = 0; good.length < rounds && tries < rounds + (this.proves ? TRIES : 0) && !(job && job.cancelled) && (tries === 0 || performance.now() < until); tries++) {
      const { before, pass, after } = await go(reps);
      all.push(pass / reps);
      this.learn(before);
      this.learn(after);
      if (!this.proves || Math.max(before, after) <= this.best * 1.04) good.push(pass / reps);
    }
    return { us: median(good.length ? good : all), steady: good.length >= Math.min(rounds, 3) };
  }
}
