/** Style sheets are imported for their effect: the build collects them into app.css. */
declare module "*.css";
