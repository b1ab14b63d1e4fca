/** Streams that several daemons share, as the page shows them: a real daemon and a real broker. */

import { expect, test } from '@playwright/test';
import { broker, Daemon, until } from './daemon';
import { clean, watch } from './support';

interface Overview {
  streams: { state: string; lag?: number }[];
}

test('a fleet is shown: who watches what, and how far behind it is', async ({ page }) => {
  const kafka = broker();
  const daemon = await Daemon.start('', kafka.brokers);
  try {
    const troubles = watch(page, daemon.url);
    await page.goto(daemon.url);
    const link = page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Fleet' });
    await link.click();
    await expect(page.getByRole('heading', { name: 'Fleet page' })).toBeVisible();
    const daemons = page.getByRole('table', { name: 'Daemons' });
    await expect(daemons.getByRole('rowheader').getByRole('link', { name: 'one' })).toHaveAttribute('href', 'http://one.example:9464');
    for (const [id, enabled] of [['<b>gate', true], ['door', false]] as const) {
      const uri = 'test://?width=64&height=64&fps=4&wave=ticks';
      const added = await daemon.call('POST', '/v1/streams', { id, uri, enabled, live: true, hop: '10s' });
      expect(added.status).toBe(201);
    }
    // By any of its daemons, so that it is shared out.
    const streams = page.getByRole('table', { name: 'Streams' });
    const gate = streams.getByRole('row', { name: /<b>gate/ });
    await expect(gate).toContainText('watching');
    await expect(gate).toContainText('one');
    await expect(streams.getByRole('row', { name: /door/ })).toContainText('disabled');
    await expect(page.getByText('1 daemons share 2 streams in 4 partitions.')).toBeVisible();
    await until('a window is answered', async () =>
      (await daemon.get<Overview>('/v1/fleet')).streams.some((stream) => stream.lag !== undefined),
    );
    await expect(gate).toContainText(/\d\.\d s/);
    await expect(daemons.getByRole('row', { name: /^one / })).toContainText(/\d\.\d\d of \d+\.\d\d/);
    await clean(page, 'the fleet');
    expect(troubles).toEqual([]);
  } finally {
    await daemon.stop();
    kafka.stop();
  }
});

test('a daemon that is alone has no fleet to show', async ({ page }) => {
  const daemon = await Daemon.start();
  try {
    await page.goto(`${daemon.url}/#/fleet`);
    await expect(page.getByRole('alert')).toContainText('this daemon is of no fleet');
    await expect(page.getByRole('link', { name: 'Fleet' })).toHaveCount(0);
  } finally {
    await daemon.stop();
  }
});
