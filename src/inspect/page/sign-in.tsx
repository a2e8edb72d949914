/** Asks for the token, and opens trace files for those who have none. */
import { useRef } from "preact/hooks";
import { link, signIn } from "./live.ts";

export const SignIn = ({ openFile }: { readonly openFile: (file: File | undefined) => Promise<void> }) => {
  const input = useRef<HTMLInputElement>(null);
  const isRefused = link.value === "refused";
  return (
    <div class="sign-in">
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          signIn(input.current?.value ?? "");
        }}
      >
        <h1>Who is there?</h1>
        <p>
          The inspector shows every connection of this server. It asks for the token of the configuration's{" "}
          <code>inspect.token</code>, or the one that was printed when the server started.
        </p>
        <label for="token">Token</label>
        <input
          id="token"
          ref={input}
          type="password"
          autocomplete="off"
          required
          aria-invalid={isRefused}
          aria-describedby="token-complaint"
        />
        <p id="token-complaint" class="field-complaint" role="alert">
          {isRefused ? "This is not the token of this server." : ""}
        </p>
        <button type="submit" class="button primary" disabled={link.value === "connecting"}>
          {link.value === "connecting" ? "Connecting…" : "Look inside"}
        </button>
      </form>
      <p class="or">
        Or drop a trace that <code>berth trace</code> has saved anywhere on this page, or{" "}
        <label class="as-link">
          <input
            type="file"
            class="hidden"
            accept=".json,application/json"
            onChange={({ currentTarget }) => void openFile(currentTarget.files?.[0])}
          />
          choose the file
        </label>
        .
      </p>
    </div>
  );
};
