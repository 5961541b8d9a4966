// What the page uses of the library, under one global name.
import "d3-transition"; // gives selections their interrupt()

export { default as flamegraph } from "d3-flame-graph";
export { select } from "d3-selection";
