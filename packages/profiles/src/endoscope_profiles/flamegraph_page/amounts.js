// Numbers of bytes and of objects, written for people, as the tables have them.

const WHOLE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const UNITS = ["B", "kB", "MB", "GB", "TB"];

function size(number) {
  let unit = 0;
  while (Math.abs(number) >= 999.95 && unit < UNITS.length - 1) {
    number /= 1000;
    unit += 1;
  }
  return `${number.toFixed(unit ? 1 : 0)} ${UNITS[unit]}`;
}

function count(number) {
  return WHOLE.format(number);
}

function share(part, whole) {
  return whole > 0 ? `${((100 * part) / whole).toFixed(1)}%` : "0.0%";
}

const WRITTEN = { bytes: size, objects: count };

// An amount is a value and the variance of it.
function withError(measure, amount) {
  const write = WRITTEN[measure];
  return `${write(amount.value)} ± ${write(Math.sqrt(amount.variance))}`;
}

// A difference always has its sign: colour is not all that tells growth.
function signed(measure, value) {
  const sign = value > 0 ? "+" : value < 0 ? "−" : "±";
  return sign + WRITTEN[measure](Math.abs(value));
}
