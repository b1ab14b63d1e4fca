/** Several daemons that share their streams: who watches what, how far behind it is, and how much more each could do. */

import { useEffect, useState } from 'preact/hooks';
import { get, Problem } from '../api/http';
import type { Fleet, FleetMember, SharedStream } from '../api/types';
import { worst } from '../data/fleet';
import { Table } from '../ui/Table';

/** The daemons tell it as often. */
const EVERY = 3000;
/** Streams that are listed; a fleet may have many thousands. */
const LISTED = 200;

export function FleetView() {
  const { fleet, failure } = useFleet();
  return (
    <div class="reading">
      <div class="head">
        <h2>{fleet ? `Fleet ${fleet.group}` : 'Fleet'}</h2>
      </div>
      {failure && (
        <p class="problem" role="alert">
          {failure}
        </p>
      )}
      {!fleet && !failure && <p class="quiet-text">Reading …</p>}
      {fleet && <Shown fleet={fleet} />}
    </div>
  );
}

function Shown({ fleet }: { fleet: Fleet }) {
  const { members, streams, partitions, unassigned } = fleet;
  const listed = worst(streams, LISTED);
  const more = streams.length - listed.length;
  return (
    <>
      <p class="quiet-text">
        {`${members.length} daemons share ${streams.length} streams in ${partitions} partitions.`}
      </p>
      {unassigned.length > 0 && <p class="problem">Nobody has the partitions {unassigned.join(', ')}: their streams are not watched.</p>}
      <Table caption="Daemons" columns={['Daemon', 'Partitions', 'Streams', 'Windows a second', 'Headroom', 'Longest lag']}>
        {members.map((member) => (
          <Daemon key={member.member} member={member} streams={streams.filter((stream) => stream.member === member.member)} />
        ))}
      </Table>
      <h2>Streams</h2>
      <Table caption="Streams" columns={['Stream', 'State', 'Lag', 'Daemon', 'Partition']}>
        {listed.map((stream) => (
          <tr key={stream.id}>
            <th scope="row">{stream.id}</th>
            <td>
              {stream.state}
              {stream.reason && <span class="quiet-text"> ({stream.reason})</span>}
            </td>
            <td>{seconds(stream.lag)}</td>
            <td>{stream.member ?? 'nobody'}</td>
            <td>{stream.partition}</td>
          </tr>
        ))}
      </Table>
      {more > 0 && <p class="quiet-text">{`${more} more are no worse than these; avicuna fleet status lists all.`}</p>}
    </>
  );
}

function Daemon({ member, streams }: { member: FleetMember; streams: SharedStream[] }) {
  const { capacity, load } = member;
  const lags = streams.flatMap((stream) => stream.lag ?? []);
  const address = member.address ?? '';
  const isPage = /^https?:\/\//.test(address);
  return (
    <tr>
      <th scope="row">{isPage ? <a href={address}>{member.member}</a> : member.member}</th>
      <td>{member.partitions.length}</td>
      <td>{streams.length}</td>
      <td>
        {load.toFixed(2)}
        {capacity !== null && ` of ${capacity.toFixed(2)}`}
      </td>
      <td>{capacity ? `${Math.round(100 * (1 - load / capacity))} %` : '–'}</td>
      <td>{seconds(lags.length > 0 ? Math.max(...lags) : undefined)}</td>
    </tr>
  );
}

function seconds(lag: number | undefined): string {
  return lag === undefined ? '–' : `${lag.toFixed(1)} s`;
}

/** What the daemons last told, read again and again. */
function useFleet(): { fleet: Fleet | null; failure: string | null } {
  const [fleet, setFleet] = useState<Fleet | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  useEffect(() => {
    const control = new AbortController();
    const read = async () => {
      if (document.visibilityState === 'visible') {
        try {
          setFleet(await get<Fleet>('/v1/fleet', {}, control.signal));
          setFailure(null);
        } catch (error) {
          if (!control.signal.aborted) setFailure(Problem.of(error).message);
        }
      }
      if (!control.signal.aborted) timer = setTimeout(() => void read(), EVERY);
    };
    let timer: ReturnType<typeof setTimeout> | undefined;
    void read();
    return () => {
      control.abort();
      clearTimeout(timer);
    };
  }, []);
  return { fleet, failure };
}
