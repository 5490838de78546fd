import { crc32, deflateSync, inflateSync } from 'node:zlib';

const SIGNATURE = 8;
/** Bytes of a pixel, as browsers write them: red, green, blue, and some with an alpha that is always full here. */
const CHANNELS: Readonly<Record<number, number>> = { 2: 3, 6: 4 };
const MOST = 256;

interface Chunk {
  readonly type: string;
  readonly data: Buffer;
}

/** The same picture with its 256 most frequent colours, for less than half of the bytes; text and plain areas need no more. */
export function withPalette(png: Buffer): Buffer {
  const all = [...chunks(png)];
  const header = all[0]!.data;
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)];
  const data = inflateSync(Buffer.concat(all.filter(({ type }) => type === 'IDAT').map((chunk) => chunk.data)));
  const pixels = colours(data, width, height, CHANNELS[header[9]!]!);
  const counts = new Map<number, number>();
  for (const colour of pixels) counts.set(colour, (counts.get(colour) ?? 0) + 1);
  const byFrequency = [...counts].toSorted(([, a], [, b]) => b - a);
  const palette = byFrequency.slice(0, MOST).map(([colour]) => colour);
  const indexes = new Map([...counts.keys()].map((colour) => [colour, nearest(colour, palette)]));
  const rows = Buffer.alloc((width + 1) * height); // each begins with its filter, which is none
  for (const [index, colour] of pixels.entries()) {
    rows[index + Math.floor(index / width) + 1] = indexes.get(colour)!;
  }
  const newHeader = Buffer.from(header);
  newHeader[9] = 3; // of a palette
  const bytes = Buffer.from(palette.flatMap((colour) => [colour >> 16, (colour >> 8) & 255, colour & 255]));
  const parts = [
    { type: 'IHDR', data: newHeader },
    { type: 'PLTE', data: bytes },
    { type: 'IDAT', data: deflateSync(rows, { level: 9 }) },
    { type: 'IEND', data: Buffer.alloc(0) },
  ];
  return Buffer.concat([png.subarray(0, SIGNATURE), ...parts.map(encoded)]);
}

function* chunks(png: Buffer): Generator<Chunk> {
  for (let at = SIGNATURE; at < png.length;) {
    const length = png.readUInt32BE(at);
    yield { type: png.toString('latin1', at + 4, at + 8), data: png.subarray(at + 8, at + 8 + length) };
    at += length + 12;
  }
}

function encoded({ data, type }: Chunk): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const whole = Buffer.alloc(body.length + 8);
  whole.writeUInt32BE(data.length);
  body.copy(whole, 4);
  whole.writeUInt32BE(crc32(body), body.length + 4);
  return whole;
}

/** Undoes the filters of https://www.w3.org/TR/png-3/#9Filters. */
function colours(data: Buffer, width: number, height: number, channels: number): Uint32Array {
  const stride = width * channels;
  const pixels = new Uint32Array(width * height);
  let above = Buffer.alloc(stride);
  for (let y = 0; y < height; y += 1) {
    const from = y * (stride + 1);
    const row = Buffer.from(data.subarray(from + 1, from + 1 + stride));
    for (let i = 0; i < stride; i += 1) {
      const left = i < channels ? 0 : row[i - channels]!;
      const corner = i < channels ? 0 : above[i - channels]!;
      row[i] = row[i]! + predicted(data[from]!, left, above[i]!, corner);
    }
    for (let x = 0; x < width; x += 1) pixels[y * width + x] = row.readUIntBE(x * channels, 3);
    above = row;
  }
  return pixels;
}

function predicted(filter: number, left: number, above: number, corner: number): number {
  if (filter === 1) return left;
  if (filter === 2) return above;
  if (filter === 3) return Math.floor((left + above) / 2);
  if (filter !== 4) return 0;
  const [a, b, c] = [Math.abs(above - corner), Math.abs(left - corner), Math.abs(left + above - 2 * corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? above : corner;
}

function nearest(colour: number, palette: readonly number[]): number {
  let [best, least] = [0, Infinity];
  for (const [index, one] of palette.entries()) {
    const far = distance(colour, one);
    if (far < least) [best, least] = [index, far];
  }
  return best;
}

function distance(a: number, b: number): number {
  const [red, green, blue] = [(a >> 16) - (b >> 16), ((a >> 8) & 255) - ((b >> 8) & 255), (a & 255) - (b & 255)];
  return red * red + green * green + blue * blue;
}
