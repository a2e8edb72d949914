/**
 * The JSON of the authentication and authorization webhooks (docs/reference/auth-webhook.md of the reference).
 */
import { Schema } from "effect";
import { answerFields, attemptFields, IdentityJson, JsonFlag } from "../metadata.ts";

/** POST /password */
export const PasswordRequest = Schema.Struct({
  ...attemptFields,
  password: Schema.RedactedFromValue(Schema.StringFromBase64),
}).pipe(Schema.encodeKeys({ password: "passwordBase64" }));

/** POST /pubkey; the key is in the authorized key format. */
export const PublicKeyRequest = Schema.Struct({ ...attemptFields, publicKey: Schema.String });

/** POST /authz */
export const AuthorizationRequest = IdentityJson;

/** Without `success`, an answer is a refusal. */
export const AuthAnswer = Schema.Struct({ success: JsonFlag, ...answerFields });
