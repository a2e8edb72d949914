/** What the API server's answers and silences mean, as failures. */
import {
  type ApiFailure,
  ApiRefused,
  ApiUnavailable,
  CredentialsRefused,
  ObjectConflict,
  ObjectMissing,
  PermissionDenied,
} from "./failures.ts";

/** What was asked, in the words of a Role. */
export interface ApiCall {
  readonly verb: "get" | "list" | "watch" | "create" | "delete" | "patch";
  readonly resource: string;
  readonly namespace: string;
  readonly name?: string;
}

/** The failure that an answer with an HTTP status of 400 or more stands for. `body` is the API's Status object as text. */
export const failureOfAnswer = (call: ApiCall, httpStatus: number, body: unknown): ApiFailure => {
  const { message: answer, reason } = statusOf(body);
  const asked = `${call.verb} ${call.resource} in namespace ${call.namespace}`;
  const fields = (what: string) => ({
    message: answer === "" ? what : `${what}: ${answer}`,
    details: { ...call, httpStatus, reason },
  });
  switch (httpStatus) {
    case 401:
      return new CredentialsRefused(fields(`The API server does not accept our credentials (${asked})`));
    case 403: {
      const denied = deniedIn(answer, call);
      if (denied === undefined) return new ApiRefused(fields(`The API server forbids to ${asked}`));
      const { message, details } = fields(
        `The API server does not permit us to ${denied.verb} ${denied.resource} in namespace ${call.namespace}`,
      );
      return new PermissionDenied({ message, details: { ...details, ...denied } });
    }
    case 404:
      // What knows no pods at all, such as a proxy or another path of the server's, says it without a reason.
      return call.resource === "pods" && reason !== "NotFound"
        ? new ApiRefused(fields(`There is no Kubernetes API where we ask to ${asked}`))
        : new ObjectMissing(fields(`The API server has no such object (${asked})`));
    case 409:
      return new ObjectConflict(fields(`Somebody else was faster (${asked})`));
    default:
      return httpStatus === 408 || httpStatus === 429 || httpStatus >= 500
        ? new ApiUnavailable(fields(`The API server can't do it now (${asked})`))
        : new ApiRefused(fields(`The API server refused to ${asked}`));
  }
};

/** The failure of a request that got no answer. */
export const failureOfSilence = (call: ApiCall, error: unknown): ApiUnavailable =>
  new ApiUnavailable({
    message: `The API server did not answer (${call.verb} ${call.resource} in namespace ${call.namespace})`,
    details: { ...call, error: error instanceof Error ? error.message : String(error) },
    cause: error,
  });

/**
 * Missing permissions and admission (quotas, pod security) both answer 403; only the former's Status begins
 * `RESOURCE is forbidden: User "…" cannot VERB resource "…"` (k8s.io/apiserver, NewForbidden and ForbiddenReason).
 * It may be another verb than the request's own: Kubernetes 1.35 wants `create` for an exec by WebSocket, too.
 */
const deniedIn = (answer: string, { verb, resource }: ApiCall) => {
  if (answer === "") return { verb, resource };
  const [, named, object] = /\bcannot (\w+) resource(?: "([^"]+)")?/.exec(answer) ?? [];
  return named === undefined ? undefined : { verb: named, resource: object ?? resource };
};

/** The sentence and the reason (`AlreadyExists`) of a Status object; what is not one is quoted, shortened. */
const statusOf = (body: unknown): { readonly message: string; readonly reason: string } => {
  const text = textOf(body);
  try {
    const status: unknown = JSON.parse(text);
    if (typeof status === "object" && status !== null && "message" in status) {
      return { message: String(status.message), reason: "reason" in status ? String(status.reason) : "" };
    }
  } catch {
    // Not a Status: a proxy's page, or nothing at all.
  }
  return { message: text.slice(0, 500).trim(), reason: "" };
};

const textOf = (body: unknown): string => {
  if (body === undefined || body === null) return "";
  if (typeof body === "string") return body;
  return body instanceof Uint8Array ? Buffer.from(body).toString() : JSON.stringify(body);
};
