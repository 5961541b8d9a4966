// What is said about a frame: on it, in the details, and to a screen reader.

const KINDS = {
  application: "Application",
  package: "Installed packages",
  standard_library: "Standard library",
  interpreter: "Interpreter",
  allocator: "Allocator",
  native: "Native code",
  marker: "Markers, no code",
};

const CHANGES = {
  grew: ["may be chance (within twice the error)", "by less than a quarter", "less than doubled", "doubled, or new"],
  shrank: ["may be chance (within twice the error)", "by less than a quarter", "by less than three quarters", "by more, or gone"],
};

const MIXED = "some of it did, the frame as a whole did not";

function nameOf(view, frame) {
  if (frame.gathers) return `${count(frame.gathers)} narrower frames`;
  return frame.place < 0 ? "all" : view.tree.places[frame.place].name;
}

function labelOf(view, frame) {
  const short = frame.place < 0 ? "" : view.tree.places[frame.place].short;
  return `${nameOf(view, frame)}${short && ` (${short})`}  ${heldOf(view, frame)}`;
}

function heldOf(view, frame) {
  if (view.compared) return signed(view.measure, view.difference(frame, view.measure).value);
  return WRITTEN[view.measure](frame.width);
}

// How sure and how great a change is: 0 to 3, or -1 if there is none to this side.
function levelOf(view, frame) {
  const { value, variance } = view.difference(frame, view.measure);
  const change = view.side === "grew" ? value : -value;
  if (change <= 0) return -1;
  if (change < 2 * Math.sqrt(variance)) return 0;
  const ratio = change / view.sum(frame, `base_${view.measure}`);
  const [few, many] = view.side === "grew" ? [0.25, 1] : [0.25, 0.75];
  return ratio < few ? 1 : ratio < many ? 2 : 3;
}

function shareOf(view, frame) {
  const part = share(frame.width, view.root.width);
  if (!view.compared) return `${part} of all ${view.measure}`;
  return `${WRITTEN[view.measure](frame.width)} ${view.side} in it, ${part} of all that ${view.side}`;
}

function whereOf(view, frame) {
  if (frame.gathers) return "too narrow to draw one by one; zoom in to see them";
  if (frame.place < 0) return view.inverted ? "every stack, by where it ends" : "every stack";
  const { where, group } = view.tree.places[frame.place];
  return where ? `${where} (${ownerOf(group)})` : ownerOf(group);
}

// An application's folder is in the file's name already, and a marker has no more than its own.
function ownerOf([kind, name]) {
  return kind === "application" || kind === "marker" ? KINDS[kind] : `${KINDS[kind]}: ${name}`;
}

function amountsOf(view, frame) {
  const measures = view.measure === "bytes" ? ["bytes", "objects"] : ["objects", "bytes"];
  const write = view.compared ? changeOf : holdingOf;
  return [...measures.map((measure) => write(view, frame, measure)), shareOf(view, frame)].join(" · ");
}

function holdingOf(view, frame, measure) {
  const text = withError(measure, view.amount(frame, "target", measure));
  return measure === "objects" ? `${text} objects` : text;
}

function changeOf(view, frame, measure) {
  const { value, variance } = view.difference(frame, measure);
  const text = `${signed(measure, value)} ± ${WRITTEN[measure](Math.sqrt(variance))}`;
  return measure === "objects" ? `${text} objects` : text;
}

function moreOf(view, frame) {
  if (view.compared) return beforeAndAfterOf(view, frame);
  if (view.inverted || !frame.node) return "";
  const self = view.self(frame);
  if (!self.value) return "nothing of it is allocated in the frame itself";
  const part = share(self.value, view.root.width);
  return `allocated in the frame itself: ${withError(view.measure, self)} · ${part} of all ${view.measure}`;
}

function beforeAndAfterOf(view, frame) {
  const said = (side) => withError(view.measure, view.amount(frame, side, view.measure));
  const level = levelOf(view, frame);
  const judged = `${view.side}: ${level < 0 ? MIXED : CHANGES[view.side][level]}`;
  return `base ${said("base")} · target ${said("target")} · ${judged}`;
}

function spokenOf(view, frame) {
  const words = [nameOf(view, frame), whereOf(view, frame), amountsOf(view, frame)];
  return words.filter(Boolean).join(", ");
}
