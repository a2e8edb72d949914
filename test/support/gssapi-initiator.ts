/** The client's half of the GSS-API, by python3-gssapi: tokens and message integrity codes for a test to send, or to spoil. */
import { createInterface } from "node:readline";
import { start } from "./command.ts";
import { clockOf, endUnderClock, SERVICE, type Tickets } from "./kdc.ts";

/** Reads a line of JSON, answers with one. */
const PROGRAM = `
import base64, json, sys, gssapi
flags = gssapi.RequirementFlag
wanted = {"mutual": flags.mutual_authentication, "integrity": flags.integrity, "delegate": flags.delegate_to_peer,
          "dce": flags.dce_style}
context = None
for line in sys.stdin:
    asked = json.loads(line)
    data = base64.b64decode(asked.get("data", ""))
    try:
        if asked["do"] == "begin":
            name = gssapi.Name(asked["service"], gssapi.NameType.kerberos_principal)
            context = gssapi.SecurityContext(name=name, usage="initiate", flags=[wanted[each] for each in asked["flags"]])
            answer = context.step()
        elif asked["do"] == "step":
            answer = context.step(data)
        else:
            answer = context.get_signature(data)
        print(json.dumps({"data": base64.b64encode(answer or b"").decode()}), flush=True)
    except gssapi.exceptions.GSSError as error:
        print(json.dumps({"error": str(error)}), flush=True)
`;

export interface GssapiInitiator extends AsyncDisposable {
  /** The first token. */
  readonly begin: (options?: InitiatorOptions) => Promise<Buffer>;
  /** Takes the server's token; gives the next one, empty when there is none. */
  readonly step: (token: Buffer) => Promise<Buffer>;
  /** A message integrity code. */
  readonly sign: (data: Buffer) => Promise<Buffer>;
}

export interface InitiatorOptions {
  readonly service?: string;
  /** `dce` takes three tokens where one would do. */
  readonly flags?: readonly ("mutual" | "integrity" | "delegate" | "dce")[];
}

/** @param clock how far its clock is behind, as libfaketime takes it */
export const gssapiInitiator = (tickets: Tickets, clock?: string): GssapiInitiator => {
  // Debian's own Python: only it has Debian's gssapi.
  const env = { ...tickets, ...clockOf(clock) };
  const running = start("/usr/bin/python3", ["-c", PROGRAM], { env });
  const answers = createInterface(running.stdout)[Symbol.asyncIterator]();
  running.stderr.resume();
  const ask = async (request: object): Promise<Buffer> => {
    running.stdin.write(`${JSON.stringify(request)}\n`);
    const { value } = await answers.next();
    const answer = JSON.parse(value ?? '{"error": "the initiator ended"}') as {
      data?: string;
      error?: string;
    };
    if (answer.data === undefined) throw new Error(answer.error);
    return Buffer.from(answer.data, "base64");
  };
  return {
    begin: ({ service = SERVICE, flags = ["mutual", "integrity"] } = {}) =>
      ask({ do: "begin", service, flags }),
    step: (token) => ask({ do: "step", data: token.toString("base64") }),
    sign: (data) => ask({ do: "sign", data: data.toString("base64") }),
    [Symbol.asyncDispose]: () => endUnderClock(running),
  };
};
