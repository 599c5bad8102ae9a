// The same with Node's JSON.parse; see read_json.py.

"use strict";

const dump = (value, path, out) => {
  if (typeof value === "string") {
    out.push(`${path}=${Buffer.from(value).toString("hex")}`);
  } else if (Array.isArray(value)) {
    value.forEach((element, index) => dump(element, `${path}[${index}]`, out));
  } else if (value !== null && typeof value === "object") {
    for (const [key, member] of Object.entries(value)) {
      const place = `${path}{${Buffer.from(key).toString("hex")}}`;
      out.push(place);
      dump(member, place, out);
    }
  }
};

// As `Response.json()` has it: what is no UTF-8 is replaced, a byte order mark dropped.
const decoder = new TextDecoder();

const read = (line) => {
  const found = [];
  try {
    dump(JSON.parse(decoder.decode(Buffer.from(line, "hex"))), "", found);
    return found.sort().join(";");
  } catch {
    return "-";
  }
};

require("readline").createInterface({ input: process.stdin }).on("line", (line) => process.stdout.write(read(line) + "\n"));
