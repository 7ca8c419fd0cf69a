// Learns at once that GPU work is done. Browsers look for finished work when commands arrive and
// otherwise on a timer (2.4 ms in Chromium, 100 ms in Firefox); a round trip to the GPU process makes
// them look. Each turn is paced by its own trip. A long wait sleeps through most of its predicted time
// and then ever longer between turns (a tenth of what it has waited), so that it takes no core.
const sleep = ms => new Promise(r => setTimeout(r, ms));

export async function settle(device, promise, predictedMs, cancelled) {
  let done = false;
  const mark = () => { done = true; };
  promise.then(mark, mark);
  if (predictedMs > 6) await sleep(predictedMs * 0.8);
  const start = performance.now();
  while (!done) {
    if (cancelled()) return false;
    device.queue.submit([]);
    device.pushErrorScope('validation');
    await device.popErrorScope();
    const waited = performance.now() - start;
    if (!done && waited > 6) await sleep(Math.min(waited * 0.1, 20));
  }
  await promise;
  return true;
}
