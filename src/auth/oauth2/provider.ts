/**
 * What a provider of browser logins has to give to the machines, and what the machines carry for it without looking:
 * codes, tokens and links, redacted by type.
 */
import type { Effect, Redacted } from "effect";
import type { ServerMetadata } from "openid-client";
import type { AuthorizationRequest, AuthorizationResponse } from "../../../machines/authorization-code.ts";
import type { DeviceAuthorization, DeviceCodeAnswer, PollAnswer } from "../../../machines/device-flow.ts";
import type { Grant, Profile, Provider } from "../../../machines/oauth2.ts";
import type { OAuth2 } from "../../config/sections/oauth2.ts";
import type { Failure } from "../../failure.ts";
import type { Attempt } from "../authenticator.ts";

declare module "../../../machines/oauth2.ts" {
  interface Provider {
    /** Its endpoints (RFC 8414). */
    readonly server: ServerMetadata;
    /** Where browsers come back to; undefined where the provider knows that by itself. */
    readonly redirectUri: string | undefined;
  }

  interface Grant {
    readonly flow: "device" | "authorization_code";
    readonly accessToken: Redacted.Redacted<string>;
    readonly refreshToken: Redacted.Redacted<string> | undefined;
    /** The subject of the verified ID token; undefined where there is none. */
    readonly subject: string | undefined;
  }
}

declare module "../../../machines/device-flow.ts" {
  interface DeviceAuthorization {
    readonly deviceCode: Redacted.Redacted<string>;
    readonly userCode: Redacted.Redacted<string>;
    /** Where the user types the code in. */
    readonly verificationUri: string;
    /** The same with the code in it, if the provider has that. */
    readonly verificationUriComplete: Redacted.Redacted<string> | undefined;
  }
}

declare module "../../../machines/authorization-code.ts" {
  interface AuthorizationRequest {
    /** What the user opens in a browser. */
    readonly link: Redacted.Redacted<string>;
    readonly state: Redacted.Redacted<string>;
    /** RFC 7636. */
    readonly verifier: Redacted.Redacted<string>;
    /** For the ID token; undefined where none is expected. */
    readonly nonce: Redacted.Redacted<string> | undefined;
  }

  interface AuthorizationResponse {
    /** The parameters of the address that the browser came back to (RFC 6749 section 4.1.2). */
    readonly parameters: Redacted.Redacted<URLSearchParams>;
  }
}

/** A provider as the configuration describes it. */
export interface OAuth2Provider {
  /** Finds out what it offers to this client. */
  readonly discover: (attempt: Attempt) => Effect.Effect<Provider, Failure>;
  readonly requestDeviceCode: (provider: Provider) => Effect.Effect<DeviceCodeAnswer, Failure>;
  /** Asks once whether the user has approved. */
  readonly pollToken: (
    provider: Provider,
    authorization: DeviceAuthorization,
  ) => Effect.Effect<PollAnswer, Failure>;
  readonly prepareRequest: (
    provider: Provider,
    attempt: Attempt,
  ) => Effect.Effect<AuthorizationRequest, Failure>;
  readonly exchangeCode: (
    provider: Provider,
    request: AuthorizationRequest,
    response: AuthorizationResponse,
  ) => Effect.Effect<Grant, Failure>;
  /** Who it was, with what the provider tells about them as metadata. */
  readonly identify: (provider: Provider, grant: Grant, attempt: Attempt) => Effect.Effect<Profile, Failure>;
  /** Makes the tokens worthless. */
  readonly revoke: (provider: Provider, grant: Grant) => Effect.Effect<void, Failure>;
}

/**
 * Whether a client may use the device flow: all may where no clients are listed, and one that is not listed may where
 * there is no other flow.
 */
export const deviceFlowFits = (options: OAuth2, attempt: Attempt, authorizationCodeFlow: boolean): boolean =>
  waitsWithoutPrompt(options, attempt) || !authorizationCodeFlow;

/** Whether a client shows what it is told without being asked anything. */
export const waitsWithoutPrompt = (
  { deviceFlowClients }: OAuth2,
  { clientVersion }: Pick<Attempt, "clientVersion">,
): boolean =>
  deviceFlowClients.length === 0 || deviceFlowClients.some((client) => client.test(clientVersion));
