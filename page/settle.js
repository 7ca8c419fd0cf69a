// Learns at once that GPU work is done. Browsers look for finished work when commands arrive and
// otherwise on a timer (2.4 ms in Chromium, 100 ms in Firefox); a round trip to the GPU process makes
// them look (in Firefox only with a submit in it). A few tasks between two trips leave the GPU
// process its core: on two cores that is worth 0.2 ms and halves the spread. A long wait sleeps
// through most of its predicted time and then ever longer between trips (a tenth of what it has
// waited), so that it takes no core.
const needsSubmit = navigator.userAgent.includes('Firefox');
const TURNS = 3;
const sleep = ms => new Promise(r => setTimeout(r, ms));

const channel = new MessageChannel();
let wake = [];
channel.port1.onmessage = () => { const w = wake; wake = []; for (const f of w) f(); };
const turn = () => new Promise(r => { wake.push(r); channel.port2.postMessage(0); });

async function kick(device, state) {
  const start = performance.now();
  for (;;) {
    for (let i = 0; i < TURNS; i++) await turn();
    if (state.done || state.stop) return;
    if (needsSubmit) device.queue.submit([]);
    device.pushErrorScope('validation');
    await device.popErrorScope();
    const waited = performance.now() - start;
    if (!state.done && waited > 6) await sleep(Math.min(waited * 0.1, 20));
  }
}

// True once promise holds; false when cancelled() said so first. Rejects as promise does.
export async function settle(device, promise, predictedMs, cancelled) {
  const state = { done: false, stop: false };
  const ended = promise.then(() => { state.done = true; return true; }, e => { state.done = true; throw e; });
  ended.catch(() => {});
  if (predictedMs > 6) await Promise.race([ended, sleep(predictedMs * 0.8)]);
  if (cancelled()) return false;
  kick(device, state).catch(() => {});
  try {
    // The promise itself ends the wait, not the kick that happens to be under way.
    for (;;) {
      if (await Promise.race([ended, sleep(50)])) return true;
      if (cancelled()) return false;
    }
  } finally {
    state.stop = true;
  }
}
