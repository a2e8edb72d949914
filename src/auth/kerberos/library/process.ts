/**
 * The process that holds the Kerberos library. It is one of its own because the library reads its configuration from
 * the environment of its process, blocks a thread for as long as a KDC takes to answer, and is C: what it does to
 * itself is not done to the daemon.
 */
import { rmSync } from "node:fs";
import { constants, setPriority } from "node:os";
import koffi from "koffi";
import { AcceptorContext } from "./gssapi.ts";
import { Krb5 } from "./krb5.ts";
import { PasswordSession } from "./password-session.ts";
import {
  CallFailed,
  type LibraryAnswer,
  type LibraryCall,
  type LibraryCalls,
  type LibraryOptions,
  type LibraryRequest,
  type LibraryStatus,
} from "./requests.ts";
import { TicketSession } from "./ticket-session.ts";

const [scratch = "", keytab = "", acceptor = ""] = process.argv.slice(2);
const options: LibraryOptions = { keytab, acceptor: acceptor === "" ? undefined : acceptor, scratch };

// Keys are derived from passwords with much work, and threads inherit this: whoever is logged in comes first.
setPriority(constants.priority.PRIORITY_BELOW_NORMAL);

// Every call that waits for a KDC is in this queue; the daemon limits how many there are.
koffi.config({ ...koffi.config(), max_async_calls: 4096 });

const sessions = new Map<number, TicketSession | PasswordSession>();

/** @throws CallFailed when the session is not there, or is one of another kind */
const sessionOf = <Kind extends TicketSession | PasswordSession>(
  id: number,
  kind: new (options: LibraryOptions) => Kind,
): Kind => {
  const session = sessions.get(id);
  if (!(session instanceof kind)) throw new CallFailed({ text: "the login is not known to the library" });
  return session;
};

const begin = <Kind extends TicketSession | PasswordSession>(id: number, session: Kind): Kind => {
  sessions.set(id, session);
  return session;
};

const end = (id: number): void => {
  sessions.get(id)?.close();
  sessions.delete(id);
};

type Handlers = {
  readonly [Call in LibraryCall]: (
    input: LibraryCalls[Call]["input"],
  ) => LibraryCalls[Call]["output"] | Promise<LibraryCalls[Call]["output"]>;
};

// GSS-API calls ask no KDC: they run here, where the library remembers for its error texts what went wrong.
const handlers: Handlers = {
  open: () => {
    const krb5 = new Krb5();
    try {
      krb5.defaultRealm();
      const principals = krb5.principalsOf(krb5.keytab(keytab));
      new AcceptorContext(keytab, options.acceptor).close();
      return { principals };
    } finally {
      krb5.close();
    }
  },
  acceptToken: ({ session, token }) =>
    (sessions.has(session)
      ? sessionOf(session, TicketSession)
      : begin(session, new TicketSession(options))
    ).acceptToken(token),
  verifyMic: ({ session, data, mic }) => void sessionOf(session, TicketSession).verifyMic(data, mic),
  getCredentials: ({ session, principal, password }) =>
    begin(session, new PasswordSession(options)).getCredentials(principal, password),
  proveKdc: async ({ session }) => {
    await sessionOf(session, PasswordSession).proveKdc();
    return undefined;
  },
  takeCredentials: ({ session }) => {
    try {
      return sessions.get(session)?.takeCredentials();
    } finally {
      end(session);
    }
  },
  release: ({ session }) => void end(session),
};

const statusOf = (error: unknown): LibraryStatus =>
  error instanceof CallFailed ? error.status : new CallFailed({ text: String(error) }).status;

const answer = async <Call extends LibraryCall>({
  id,
  call,
  input,
}: LibraryRequest<Call>): Promise<LibraryAnswer> => {
  try {
    return { id, output: await handlers[call](input) };
  } catch (error) {
    if ("session" in input) end(input.session);
    return { id, status: statusOf(error) };
  }
};

/** Requests of one session wait for each other: the library's objects are not made for two threads. */
const turns = new Map<number, Promise<unknown>>();

const inTurn = async (request: LibraryRequest): Promise<LibraryAnswer> => {
  if (!("session" in request.input)) return answer(request);
  const { session } = request.input;
  const turn = (turns.get(session) ?? Promise.resolve()).then(() => answer(request));
  turns.set(session, turn);
  const answered = await turn;
  if (turns.get(session) === turn) turns.delete(session);
  return answered;
};

/** Overwrites a credential cache that is on its way. */
const wipe = (answered: LibraryAnswer): void => {
  if ("output" in answered && answered.output instanceof Uint8Array) answered.output.fill(0);
};

process.on("message", (request: LibraryRequest) => {
  inTurn(request).then(
    (answered) => {
      if (process.connected) process.send?.(answered, undefined, undefined, () => wipe(answered));
    },
    (error: unknown) => {
      throw error;
    },
  );
});

// The daemon says when it is over; a terminal's Ctrl-C reaches the whole group, and logins may be going on.
process.on("SIGINT", () => {}).on("SIGTERM", () => {});
process.once("disconnect", () => {
  rmSync(scratch, { recursive: true, force: true });
  // An ordinary end would wait for threads that wait for a KDC.
  process.kill(process.pid, "SIGKILL");
});
