/** Both flows against a real provider: what is granted, what is refused, what the user and the configuration learn. */
import { describe, expect, it } from "vitest";
import { CLIENT_SECRET } from "../../../support/oidc-provider.ts";
import { codeOf, type Flow, logIn, metadataIn, world } from "./world.ts";

describe.each<Flow>(["device", "code"])("the %s flow", (flow) => {
  it("lets in who grants all scopes, and tells who it was", async () => {
    await using here = await world(flow);
    const outcome = await logIn(here.desk.begin(), flow);
    expect(codeOf(outcome)).toBe("granted");
    expect(outcome).toMatchObject({ identity: { username: "jane", authenticatedUsername: "jane" } });
    expect(metadataIn(outcome)).toMatchObject({
      oauth2_granted_scopes: "openid profile email",
      oidc_sub: "jane",
      oidc_email: "jane@example.com",
      oidc_email_verified: "true",
      OIDC_USERINFO_EMAIL: "jane@example.com",
    });
  });

  it("refuses who doesn't grant email, and names it to the user and in the log's details", async () => {
    await using here = await world(flow);
    const outcome = await logIn(here.desk.begin(), flow, { grants: ["openid", "profile"] });
    expect(outcome).toMatchObject({
      kind: "refused",
      refusal: {
        code: "OIDC_REQUIRED_SCOPE_NOT_GRANTED",
        userMessage: expect.stringContaining("email"),
        details: { requested: "openid profile email", granted: "openid profile", missing: "email" },
      },
    });
  });

  it("lets in who doesn't grant email where that is not enforced, and tells what was granted", async () => {
    await using here = await world(flow, { enforceScopes: false });
    const outcome = await logIn(here.desk.begin(), flow, { grants: ["openid", "profile"] });
    expect(codeOf(outcome)).toBe("granted");
    expect(metadataIn(outcome)).toMatchObject({ oauth2_granted_scopes: "openid profile" });
    expect(metadataIn(outcome)).not.toHaveProperty("oidc_email");
  });

  it("takes an answer without scopes for what was asked for, and an empty one for nothing", async () => {
    await using here = await world(flow);
    here.provider.amend("/token", { scope: undefined });
    expect(codeOf(await logIn(here.desk.begin(), flow))).toBe("granted");
    here.provider.amend("/token", { scope: "" });
    expect(codeOf(await logIn(here.desk.begin(), flow))).toBe("OIDC_REQUIRED_SCOPE_NOT_GRANTED");
  });

  it("refuses who doesn't grant openid, the scope that nobody configures", async () => {
    await using here = await world(flow);
    here.provider.amend("/token", { scope: "profile email" });
    expect(await logIn(here.desk.begin(), flow)).toMatchObject({
      refusal: { code: "OIDC_REQUIRED_SCOPE_NOT_GRANTED", details: { missing: "openid" } },
    });
    here.provider.change("/token", undefined);
    const unticked = await logIn(here.desk.begin(), flow, { grants: ["profile", "email"] });
    expect(codeOf(unticked)).not.toBe("granted");
  });

  it("refuses who declines at the provider", async () => {
    await using here = await world(flow);
    expect(codeOf(await logIn(here.desk.begin(), flow, { denies: true }))).toBe("AUTH_FAILED");
  });

  it("takes the user name from the configured field, and refuses one that is missing, empty or no text", async () => {
    for (const [value, code] of [
      ["j.doe", "granted"],
      ["", "OIDC_NO_USERNAME"],
      [7, "OIDC_NO_USERNAME"],
      ["j\nroot", "OIDC_NO_USERNAME"],
      [undefined, "OIDC_NO_USERNAME"],
    ] as const) {
      await using here = await world(flow, { usernameField: "preferred_username" });
      here.provider.amend("/me", { preferred_username: value });
      const outcome = await logIn(here.desk.begin(), flow);
      expect(codeOf(outcome)).toBe(code);
      if (outcome.kind === "granted") expect(outcome.identity.authenticatedUsername).toBe(value);
    }
  });

  it("marks tokens as sensitive, and nothing else", async () => {
    await using here = await world(flow);
    const outcome = await logIn(here.desk.begin(), flow);
    if (outcome.kind === "refused") throw new Error(outcome.refusal.message);
    const sensitive = Object.entries(outcome.identity.metadata).filter(([, value]) => value.sensitive);
    expect(sensitive.map(([name]) => name).sort()).toEqual(["OIDC_TOKEN", "oauth2_access_token"]);
  });

  it("revokes the token of a login that was refused after it was given", async () => {
    await using here = await world(flow);
    const login = here.desk.begin();
    expect(codeOf(await logIn(login, flow, { grants: ["openid"] }))).toBe("OIDC_REQUIRED_SCOPE_NOT_GRANTED");
    await login.end();
    expect(here.provider.revoked).toHaveLength(1);
  });

  it("revokes the token when the connection ends, and not before", async () => {
    await using here = await world(flow);
    const login = here.desk.begin();
    const { oauth2_access_token: token } = metadataIn(await logIn(login, flow));
    expect(here.provider.revoked).toEqual([]);
    await login.end();
    expect(here.provider.revoked).toEqual([token]);
  });

  it("keeps tokens, codes and secrets out of the log and of what an inspector sees", async () => {
    await using here = await world(flow);
    const login = here.desk.begin();
    const outcome = await logIn(login, flow);
    const { oauth2_access_token: token = "" } = metadataIn(outcome);
    await login.end();
    const secrets = here.provider.requests.flatMap(({ body }) =>
      ["code", "code_verifier", "device_code"].map((name) => body.get(name) ?? ""),
    );
    const seen = `${here.desk.log.text()}\n${login.inspected()}`;
    for (const secret of [token, CLIENT_SECRET, ...secrets].filter((text) => text !== "")) {
      expect(seen).not.toContain(secret);
    }
    expect(token).not.toBe("");
  });
});
