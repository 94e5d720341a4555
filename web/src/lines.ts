// SPDX-License-Identifier: Apache-2.0
/*
 * lines.ts - which lines two texts share (longest common subsequence, after what they begin and end with).
 */

export interface DiffLine {
    sign: ' ' | '-' | '+';
    text: string;
}

const CELLS_MAX = 4_000_000; /* beyond, the middle is told as replaced */

function middle(a: string[], b: string[]): DiffLine[] {
    const made: DiffLine[] = [];
    const width = b.length + 1;

    if (a.length * b.length > CELLS_MAX)
        return [...a.map(text => ({ sign: '-' as const, text })), ...b.map(text => ({ sign: '+' as const, text }))];
    const table = new Uint32Array((a.length + 1) * width);
    for (let i = a.length - 1; i >= 0; i--)
        for (let j = b.length - 1; j >= 0; j--)
            table[i * width + j] = a[i] === b[j] ? table[(i + 1) * width + j + 1] + 1
                : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
    for (let i = 0, j = 0; i < a.length || j < b.length;) {
        if (i < a.length && j < b.length && a[i] === b[j]) {
            made.push({ sign: ' ', text: a[i] });
            i++;
            j++;
        } else if (j >= b.length || (i < a.length && table[(i + 1) * width + j] >= table[i * width + j + 1]))
            made.push({ sign: '-', text: a[i++] });
        else
            made.push({ sign: '+', text: b[j++] });
    }
    return made;
}

export function diffLines(before: string, after: string): DiffLine[] {
    const a = before.split('\n'), b = after.split('\n');
    let head = 0, tail = 0;

    while (head < a.length && head < b.length && a[head] === b[head])
        head++;
    while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail])
        tail++;
    const shared = (text: string) => ({ sign: ' ' as const, text });
    return [...a.slice(0, head).map(shared), ...middle(a.slice(head, a.length - tail), b.slice(head, b.length - tail)),
        ...a.slice(a.length - tail).map(shared)];
}

/** Only what changed, with so many lines around; null stands for lines left out. */
export function hunks(lines: DiffLine[], around = 3): (DiffLine | null)[] {
    const near = new Uint8Array(lines.length);

    lines.forEach((line, i) => {
        if (line.sign !== ' ')
            near.fill(1, Math.max(0, i - around), i + around + 1);
    });
    const made: (DiffLine | null)[] = [];
    lines.forEach((line, i) => {
        if (near[i])
            made.push(line);
        else if (made.length && made[made.length - 1] !== null)
            made.push(null);
    });
    return made;
}
