// The page: takes the one-time token out of the URL's fragment and starts the worker that does
// everything. Only where a worker has no navigator.gpu does the session run here, on the main thread.
import { Session } from './session.js';

const say = text => { document.getElementById('state').textContent = text; };
const token = location.hash.slice(1);
history.replaceState(null, '', location.pathname);
const start = { token, url: `ws://${location.host}/ws`, opened: performance.timeOrigin };

const here = why => {
  say(`running on the page's own thread (${why})`);
  new Session({ ...start, worker: false, say }).open();
};
if (!/^[0-9a-f]{64}$/.test(token)) {
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
      if (data.ready === true && (data.gpu || !navigator.gpu)) worker.postMessage(start);
      else if (data.ready === true) { worker.terminate(); here('workers have no WebGPU'); }
      else if (data.say) say(data.say);
    };
    worker.onerror = e => { worker.terminate(); here(e.message || 'the worker failed to start'); };
  }
}
