import { render } from 'preact';
import { App } from './app';
import './style/base.css';
import './style/controls.css';
import './style/timeline.css';
import './style/panel.css';

const page = document.getElementById('page');
if (page) render(<App />, page);
