/** How the daemon gives the page away. */

import { expect, test } from '@playwright/test';
import { get, type IncomingHttpHeaders } from 'node:http';
import { Daemon } from './daemon';

interface Reply {
  status: number;
  headers: IncomingHttpHeaders;
  bytes: Buffer;
}

function ask(url: string, headers: Record<string, string> = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    get(url, { headers }, (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, bytes: Buffer.concat(pieces) }));
    }).on('error', reject);
  });
}

test('the page is served packed, kept by name, and only to this machine', async () => {
  const daemon = await Daemon.start();
  try {
    const index = await ask(`${daemon.url}/`);
    expect(index.status).toBe(200);
    expect(index.headers['cache-control']).toBe('no-cache');
    expect(index.headers['content-security-policy']).toMatch(/^default-src 'self';/);
    expect(index.headers['x-content-type-options']).toBe('nosniff');
    const again = await ask(`${daemon.url}/`, { 'If-None-Match': String(index.headers.etag) });
    expect([again.status, again.bytes.length]).toEqual([304, 0]);

    const script = index.bytes.toString().match(/src="(\/assets\/[^"]+\.js)"/)?.[1] ?? '';
    const plain = await ask(daemon.url + script);
    const packed = await ask(daemon.url + script, { 'Accept-Encoding': 'gzip, deflate, br' });
    expect(plain.headers['cache-control']).toBe('public, max-age=31536000, immutable');
    expect([plain.headers['content-encoding'], packed.headers['content-encoding']]).toEqual([undefined, 'br']);
    expect(packed.bytes.length).toBeLessThan(plain.bytes.length / 2);

    expect((await ask(`${daemon.url}/assets/none.js`)).status).toBe(404);
    expect((await ask(`${daemon.url}/none`)).status).toBe(404);
    expect((await ask(`${daemon.url}/`, { Host: 'elsewhere.example.org' })).status).toBe(421);
  } finally {
    await daemon.stop();
  }
});
