// The page: takes the one-time token out of the URL's fragment and starts the worker that does
// everything. Only where a worker has no navigator.gpu does the session run here, on the main thread.
import { Session } from './session.js';

const say = text => { document.getElementById('state').textContent = text; };
const [token, webnn = ''] = location.hash.slice(1).split('.');
history.replaceState(null, '', location.pathname);
const start = { token, webnn, url: `ws://${location.host}/ws`, opened: performance.timeOrigin };

const here = why => {
  say(`running on the page's own thread (${why})`);
  new Session({ ...start, worker: false, say }).open();
};
if (!/^[0-9a-f]{64}$/.test(token) || !/^(cpu|gpu|npu|)$/.test(webnn)) {
  say('this page must be opened by webaccel: its address carries a token that works once');
} else {
  let worker;
  try {
    worker = new Worker('worker.js', { type: 'module' });
  } catch (e) {
    here(String(e));
  }
  if (worker) {
    worker.onmessage = ({ data }) => {
      const lacks = !data.gpu && navigator.gpu ? 'WebGPU' : webnn && !data.ml && navigator.ml ? 'WebNN' : '';
      if (data.ready === true && !lacks) worker.postMessage(start);
      else if (data.ready === true) { worker.terminate(); here(`workers have no ${lacks}`); }
      else if (data.say) say(data.say);
    };
    worker.onerror = e => { worker.terminate(); here(e.message || 'the worker failed to start'); };
  }
}
