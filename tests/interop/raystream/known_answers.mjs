// The known answers as they stand in docs/protocols/raystream.md: what is compared is the page itself.
import { readFileSync } from 'node:fs';

export const kClientPrivate = Buffer.from('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a', 'hex');
export const kServerPrivate = Buffer.from('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb', 'hex');
export const kSeed = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex');
export const kSessionId = '018f0000-0000-7000-8000-000000000000';
export const kExpiresAt = 1735689600000;

// [{label: hex, ...}, ...], one for each block of the page: a label at the line's start, its value indented below it.
export function blocksOfPage(page = new URL('../../../docs/protocols/raystream.md', import.meta.url)) {
  const text = readFileSync(page, 'utf8').split('## Known answers')[1];
  return text.split('```').filter((_, i) => i % 2 === 1).map((block) => {
    const answers = {};
    let label;
    for (const line of block.split('\n').slice(1)) {
      if (line.startsWith('  ')) (answers[label] ??= []).push(line.trim());
      else if (line) label = line;
    }
    return answers;
  });
}
