// The parts of a map on a page, and what its tools say; nobody else's words are in here.

export const HINTS = {
  look: "Move over the map: the picture is what the decoder makes of that place. Arrow keys move the cross.",
  region: "Draw around a part of the map, or drag a box: its pictures, and which codes lie in it. Keys: arrows, Enter at two corners.",
  path: "Drag from one place to another: the pictures on the straight line between them. Keys: arrows, Enter at both ends.",
  move: "Drag to move the map (in 3-D to turn it), wheel or pinch to zoom. Keys: + and − zoom, 0 shows all.",
};

export const TEMPLATE = `
<header><h1 class="title"></h1><p class="text"></p></header>
<div class="stage"><canvas class="canvas" tabindex="0" role="application"></canvas></div>
<section class="view" aria-label="Picture of a place">
  <div class="frame"><canvas class="picture"></canvas></div>
  <div class="words"><p class="at"></p><p class="support"></p><p class="near"></p></div>
</section>
<div class="bar">
  <div class="tools" role="group" aria-label="Tool"></div>
  <label class="shape">Shape <select class="shapes"><option value="box">box</option><option value="lasso">lasso</option></select></label>
  <label class="under">Under the codes <select class="layers"></select></label>
  <label class="colour">Colour <select class="tints"></select></label>
  <label class="naming"><input class="named" type="checkbox" checked> names</label>
  <label class="height">Third coordinate <input class="depth" type="range" min="-1" max="1" step="0.02" value="0"></label>
  <button class="fit" type="button">Show all</button>
</div>
<p class="hint"></p>
<p class="scale"><span class="low"></span><i></i><span class="high"></span> <span class="meaning"></span></p>
<p class="ramp" hidden><span class="least"></span><i></i><span class="most"></span> <span class="missing"></span></p>
<div class="legend" role="group" aria-label="Labels"></div>
<section class="result" hidden aria-label="Result">
  <div class="row"><p class="count" role="status"></p><button class="copy" type="button">Copy</button><button class="keep" type="button">Save</button>
    <button class="play" type="button"></button><button class="clear" type="button">Close</button></div>
  <textarea class="indices" readonly rows="2" aria-label="Numbers of the codes"></textarea>
  <canvas class="sheet"></canvas>
</section>
<footer><p class="note"></p></footer>`;
