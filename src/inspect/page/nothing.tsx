/** What a view says that has nothing to show, and what to do about it. */
export const Nothing = ({ title, text }: { readonly title: string; readonly text: string }) => (
  <div class="nothing">
    <h1>{title}</h1>
    <p>{text}</p>
  </div>
);
